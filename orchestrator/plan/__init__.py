"""What will be asked: the study, its problems and arms, checked before anything is bought."""
