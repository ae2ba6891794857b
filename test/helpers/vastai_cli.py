"""Runs the official CLI's own main() for each line of standard input, each in a forked child.

Starting Python and importing the package takes a second; a fork takes a hundredth. The package itself is
untouched. A line is {"args": [...], "stdout": PATH, "stderr": PATH}; the answer is {"code": N}.
"""
import json
import os
import sys
import traceback

from vastai.cli.main import main


def run(request):
    for name, descriptor in (("stdout", 1), ("stderr", 2)):
        file = os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, descriptor)
    sys.argv = ["vastai", *request["args"]]
    try:
        code = main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


for line in sys.stdin:
    child = os.fork()
    if child == 0:
        run(json.loads(line))
    _, status = os.waitpid(child, 0)
    print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)
