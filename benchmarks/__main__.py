"""``python -m benchmarks WHAT`` measures, ``python -m benchmarks page`` writes the docs page."""

import argparse
import sys
from importlib import import_module

from benchmarks.measure import hold_to_threads


def main() -> None:
    """Read the command line and do what it asks."""
    hold_to_threads()
    from benchmarks import runner
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
    one = commands.add_parser("als", help="ALS and implicit: time to the same training loss")
    one.add_argument("--log", choices=[*LOGS], nargs="+", default=[*LOGS])
    one.add_argument("--factors", type=int, nargs="+", default=[64, 128, 256])
    one.add_argument("--repeats", type=int, default=3)
    one.add_argument("--lenskit", metavar="PYTHON", help="python of an environment with LensKit")
    one = commands.add_parser("growth", help="time and memory by size of the log")
    one.add_argument("--rows", type=int, nargs="+", help="sizes, instead of 1M to 50M")
    commands.add_parser("svd", help="SVD and scikit-surprise")
    commands.add_parser("linear", help="EASE and the bare inverse")
    one = commands.add_parser("accuracy", help="models tuned on ml-1m; defaults on three logs")
    one.add_argument("--log", nargs="+", help="only the defaults, on these logs")
    one = commands.add_parser("hybrids", help="blends and others beside their best part")
    one.add_argument("--log", nargs="+", help="only these logs")
    one = commands.add_parser("cold", help="new items: found among themselves, and in all lists")
    one.add_argument("--log", nargs="+", help="only these logs")
    one = commands.add_parser("onboarding", help="what newcomers are asked, and what it is worth")
    one.add_argument("--log", nargs="+", help="only these logs")
    one = commands.add_parser("newcomers", help="what they are shown, by what is known of them")
    one.add_argument("--log", nargs="+", help="only these logs")
    one = commands.add_parser("reranking", help="variety of pages, baskets, two-stage requests")
    one.add_argument("--part", nargs="+", help="only these parts of it")
    one = commands.add_parser("privacy", help="what privacy costs in accuracy, by epsilon")
    one.add_argument("--log", nargs="+", help="only these logs")
    one.add_argument("--models", nargs="+", help="only these models")
    commands.add_parser("others", help="PureSVD and BPR beside their peers")
    commands.add_parser("retrieval", help="finding the best items, and bare BLAS", add_help=False)
    commands.add_parser("content", help="TF-IDF: speed on 200,000 items, quality on the shop")
    commands.add_parser("noise", help="noise of private sums: values a second on one core")
    commands.add_parser("tokens", help="terms of Chinese titles beside marked names")
    commands.add_parser("page", help="write docs/benchmarks.rst from the results")
    commands.add_parser("floors", help="tuned quality on ml-1m and ml-100k")
    commands.add_parser("updates", help="what partial_fit and the requests after it take")
    commands.add_parser("names", help="list the entrants")
    commands.add_parser("logs", help="make and keep every log")
    asked, others = parser.parse_known_args()
    if others and asked.command != "retrieval":
        parser.error(f"unrecognized arguments: {' '.join(others)}")

    if asked.command == "run":
        names = asked.entrants or (here + (ELSEWHERE if asked.lenskit else []))
        for log in asked.log:
            print(runner.run(log, names, asked.repeats, asked.lenskit))
    elif asked.command == "als":
        from benchmarks import als

        print(als.write(asked.log, asked.factors, asked.repeats, asked.lenskit))
    elif asked.command == "growth":
        from benchmarks import growth

        print(growth.write(tuple(asked.rows or growth.SIZES)))
    elif asked.command == "linear":
        from benchmarks import linear

        print(linear.write_time())
    elif asked.command == "accuracy":
        from benchmarks import accuracy

        if not asked.log:
            print(accuracy.write_tuned())
        print(accuracy.write_defaults(asked.log))
    elif asked.command == "hybrids":
        from benchmarks import hybrids

        print(hybrids.write(asked.log))
    elif asked.command == "cold":
        from benchmarks import cold_items

        print(cold_items.write(asked.log))
    elif asked.command == "onboarding":
        from benchmarks import coldstart

        print(coldstart.write(asked.log))
    elif asked.command == "newcomers":
        from benchmarks import coldstart

        print(coldstart.write_newcomers(asked.log))
    elif asked.command == "reranking":
        from benchmarks import reranking

        print(reranking.write(asked.part))
    elif asked.command == "privacy":
        from benchmarks import privacy

        print(privacy.write(asked.log, asked.models))
    elif asked.command == "others":
        from benchmarks import factors_other

        print(factors_other.write())
    elif asked.command == "retrieval":
        from benchmarks import retrieval

        sys.argv[1:] = others
        retrieval.main()
    elif asked.command in ("svd", "content", "noise", "tokens", "page", "floors", "updates"):
        print(import_module(f"benchmarks.{asked.command}").write())
    elif asked.command == "names":
        print("\n".join(ENTRANTS))
    else:
        for log in LOGS:
            load(log)


if __name__ == "__main__":
    main()
