#!/bin/bash
# The hidden tests decide; the reward is what Harbor and orch read.
mkdir -p /logs/verifier
if PYTHONPATH=$PWD python3 -B -m unittest discover -q -s /tests -p 'hidden_*.py'; then
  echo 1 > /logs/verifier/reward.txt
else
  echo 0 > /logs/verifier/reward.txt
fi
