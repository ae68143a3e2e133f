"""Autobahn's fuzzing server on a free port of 127.0.0.1. For Python 2.7.

fuzzing_server.py PATTERNS [MESSAGES]

PATTERNS says which cases are served, such as "1.* 7.5.1". MESSAGES is how many messages
each case of groups 12 and 13 has, instead of 1,000.

Prints a line of JSON when clients can connect, and another for each case that is over.
Ends when its stdin reaches the end. The suite's own command does neither; it also
listens on every interface, and keeps all results until it is told to write them down.
"""

import json
import sys
import threading

from autobahntestsuite import (
    choosereactor,  # noqa: F401  installs the reactor, hence first
    fuzzing,
)
from twisted.internet import reactor

REMARK = 500

answers, sys.stdout = sys.stdout, sys.stderr  # the suite is talkative


def answer(line):
    answers.write(json.dumps(line) + "\n")
    answers.flush()


class Server(fuzzing.FuzzingServerFactory):
    def logCase(self, result):  # noqa: N802  the suite's name
        remark = "{result}; {resultClose}; expected {expected}, received {received}"
        answer(
            {
                "case": result["id"],
                "behavior": result["behavior"],
                "close": result["behaviorClose"],
                "code": result["remoteCloseCode"],
                "remark": remark.format(**result)[:REMARK],
            }
        )


def main(patterns, messages=None):
    if messages:
        for case in fuzzing.Cases:
            if case.__name__.startswith(("Case12_", "Case13_")):
                case.COUNT = int(messages)
    spec = {"url": "ws://127.0.0.1:1", "cases": patterns.split(), "exclude-agent-cases": {}}
    server = Server(spec)
    port = reactor.listenTCP(0, server, interface="127.0.0.1").getHost().port
    # It compares the port of the URL with the one that clients name.
    server.setSessionParameters(url="ws://127.0.0.1:{}".format(port))  # noqa: UP032
    answer({"ws": server.url, "cases": server.specCases})

    def stop():
        sys.stdin.read()
        reactor.callFromThread(reactor.stop)

    guard = threading.Thread(target=stop)
    guard.daemon = True
    guard.start()
    reactor.run()


main(*sys.argv[1:])
