"""One attempt's way: reserved, admitted, sampled, settled, recorded, judged."""
