"""The claim of each pruning paper beside its control, on scikit-learn's digits and a part of Fashion-MNIST.

    python -m benchmarks.claims                    every claim, 5 seeds: an hour of a core
    python -m benchmarks.claims --claims ap "greg, weights"
    python -m benchmarks.claims --seeds            measures nothing, prints the tables

A dense network is trained for 10 epochs, pruned in 10 and fine-tuned for 5. Pruning at once has all 15 as fine-tuning;
a method that starts from new weights has those of the dense training as well. Each arm is run with two recipes
throughout, and the better one by validation counts. A measured cell is a line of the results file, with the version of
the sources that measured it, and is not measured again by the same version.
"""

import argparse
from pathlib import Path

import torch

from benchmarks.claims import ap_rounds
from benchmarks.claims.measuring import measure_claim, read
from benchmarks.claims.papers import CLAIMS
from benchmarks.claims.tables import tables


def main() -> None:
    """Measure the missing cells, then print the tables."""
    arguments = _arguments()
    torch.set_num_threads(1)
    for seed in arguments.seeds:
        for name in arguments.claims:
            if name == ap_rounds.NAME:
                ap_rounds.measure_rounds(seed, arguments.results)
            else:
                measure_claim(name, CLAIMS[name], seed, arguments.results)
    lines = read(arguments.results)
    print(f"{tables(lines)}\n\n{ap_rounds.rounds_table(lines)}")


def _arguments() -> argparse.Namespace:
    names = [*CLAIMS, ap_rounds.NAME]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--claims", nargs="+", choices=names, default=names, metavar="NAME", help=f"{'; '.join(names)} (default: all)")
    add("--seeds", nargs="*", type=int, default=[0, 1, 2, 3, 4], help="seeds (default: 0 1 2 3 4)")
    add("--results", type=Path, default=Path("claims.jsonl"), help="results file (default: claims.jsonl)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
