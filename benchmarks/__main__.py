"""``python -m benchmarks run`` measures, ``python -m benchmarks page`` writes the docs page."""

import argparse

from benchmarks.measure import hold_to_threads


def main() -> None:
    """Read the command line and do what it asks."""
    hold_to_threads()
    from benchmarks import page, runner
    from benchmarks.entrants import ELSEWHERE, ENTRANTS
    from benchmarks.logs import LOGS, load

    here = [name for name in ENTRANTS if name not in ELSEWHERE]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="measure, and write results/LOG.json")
    run.add_argument("--log", choices=[*LOGS], nargs="+", default=[*LOGS])
    run.add_argument("--entrants", nargs="+", choices=[*ENTRANTS], metavar="NAME")
    run.add_argument("--repeats", type=int, default=5)
    run.add_argument("--lenskit", metavar="PYTHON", help="python of an environment with LensKit")
    commands.add_parser("page", help="write docs/benchmarks.rst from the results")
    commands.add_parser("floors", help="tuned quality on ml-1m and ml-100k")
    commands.add_parser("updates", help="what partial_fit and the requests after it take")
    commands.add_parser("names", help="list the entrants")
    commands.add_parser("logs", help="make and keep every log")
    asked = parser.parse_args()

    if asked.command == "run":
        names = asked.entrants or (here + (ELSEWHERE if asked.lenskit else []))
        for log in asked.log:
            print(runner.run(log, names, asked.repeats, asked.lenskit))
    elif asked.command == "page":
        print(page.write())
    elif asked.command == "floors":
        from benchmarks import floors

        print(floors.write())
    elif asked.command == "updates":
        from benchmarks import updates

        print(updates.write())
    elif asked.command == "names":
        print("\n".join(ENTRANTS))
    else:
        for log in LOGS:
            load(log)


if __name__ == "__main__":
    main()
