"""A stand-in for the Lean REPL's process: answers each command as a recorded session did.

Speaks the REPL's protocol (JSON commands, blank lines between them, on stdin; JSON answers on
stdout). The session file holds, per process, the commands in order and what was answered.
"""

import json
import sys
from pathlib import Path


def main() -> None:
    sessions = json.loads(Path(__file__).with_name("lean_session.json").read_text())
    commands = [json.loads(one) for one in sys.stdin.read().split("\n\n") if one.strip()]
    for session in sessions:
        if [one[0] for one in session][: len(commands)] == commands:
            for _, answer in session[: len(commands)]:
                if answer == "hang":
                    while True:
                        pass
                if answer == "break off":
                    print('{"env": ')
                    return
                print(json.dumps(answer, ensure_ascii=False, indent=1) + "\n")
            return
    print(f"no session starts with these {len(commands)} commands", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
