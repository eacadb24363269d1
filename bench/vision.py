"""Measures training of the vision model: Larder with 1, 2 and 4 workers, one Keras process, and unmodified Elephas.

The same drawn pack shots, model, batch size and epochs for all, some seeds each. Images a second count once started:
before each training is an epoch in which processes start and graphs are traced. Accuracy is the share of pictures that
training never saw whose likeliest leaf category is theirs. The rounds' parts, broadcast to averaging, foretell what
more workers would cost.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from bench.outcome import outcome
from bench.process_memory import watched
from bench.vision_engines import DRAWN, ENGINES
from bench.vision_pictures import write_drawn

OURS, ASYNCHRONOUS = "ours", "elephas, asynchronous"
SCALES = {"ours, 1 worker": 1, OURS: 2, "ours, 4 workers": 4}
GPUS = 8
WANTED = 0.9  # efficiency: the share of the rate that the GPUs would reach if rounds cost nothing


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.vision", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pictures", type=float, default=4000, help="training pictures (default: 4,000)")
    parser.add_argument("--test", type=float, default=2400, help="test pictures (default: 2,400)")
    parser.add_argument("--image-size", type=int, default=32, help="pixels a side (default: 32)")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=16, help="pictures per step of a worker (default: 16)")
    parser.add_argument("--outer", default="1,0", help="learning rate and momentum of our driver's step (default: 1,0)")
    parser.add_argument(
        "--schedule", choices=["constant", "cosine"], default="constant", help="schedule of the learning rate"
    )
    names = "; ".join(ENGINES)
    parser.add_argument("--engines", type=engines, default="", help=f"ours and some of: {names} (default: all)")
    parser.add_argument("--asynchronous", action="store_true", help="also measure Elephas's asynchronous mode")
    parser.add_argument("--gpu-rate", type=float, default=10e3, help="images/s of a GPU, for the forecast")
    arguments = parser.parse_args()
    named = arguments.engines
    if arguments.asynchronous:
        named.append(ASYNCHRONOUS)
    runs = _runs(arguments, named)
    rates = {name: fmean(run["images_per_second"] for run in found) for name, found in runs.items()}
    accuracies = {name: [run["accuracy"] for run in found] for name, found in runs.items()}
    rounds = {name: _round_seconds(runs[name]) for name in SCALES if name in runs}
    print(
        outcome(
            "vision",
            "images/s",
            rates[OURS],
            {name: rate for name, rate in rates.items() if name != OURS},
            accuracy={name: round(fmean(found), 4) for name, found in accuracies.items()},
            accuracies=accuracies,
            round_seconds=rounds,
            gpus=_forecast(rounds, arguments) if len(rounds) > 1 else None,
        )
    )


def engines(names: str) -> list[str]:
    """Returns the engines in `names`, separated by `;`; if empty, all but the asynchronous one."""
    if not names:
        return [name for name in ENGINES if name != ASYNCHRONOUS]
    named = [name.strip() for name in names.split(";")]
    if unknown := sorted(set(named) - set(ENGINES)):
        raise argparse.ArgumentTypeError(f"no engines: {unknown}; there are {list(ENGINES)}")
    if OURS not in named:
        raise argparse.ArgumentTypeError(f"--engines must name {OURS!r}, which the others are measured beside")
    return named


def _runs(arguments: argparse.Namespace, named: list[str]) -> dict[str, list[dict[str, Any]]]:
    plan = {
        "seeds": arguments.seeds,
        "epochs": arguments.epochs,
        "batch_size": arguments.batch_size,
        "outer": [float(number) for number in arguments.outer.split(",")],
        "schedule": arguments.schedule,
    }
    runs = {}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        write_drawn(folder / DRAWN, int(arguments.pictures), int(arguments.test), arguments.image_size)
        for name in named:
            command = [sys.executable, "-m", "bench.vision_engines", name, work, json.dumps(plan)]
            done = watched(command)
            runs[name] = json.loads(done.output.splitlines()[-1])
            print(f"{name:<22} {done.seconds:6.1f} s  {done.megabytes()}  {runs[name]}", flush=True)
    return runs


def _round_seconds(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {part: round(fmean(run["round_seconds"][part] for run in runs), 4) for part in runs[0]["round_seconds"]}


def _forecast(rounds: dict[str, dict[str, float]], arguments: argparse.Namespace) -> dict[str, Any]:
    """What rounds cost beside training is fixed + each * workers, by least squares over the workers measured.

    On GPUS workers, of the pictures that GPUs would do if rounds were free, the share training / (training + cost) is
    done; for WANTED of them a round must train for cost * WANTED / (1 - WANTED) seconds.
    """
    workers = np.array([SCALES[name] for name in rounds])
    costs = np.array([sum(parts.values()) - parts["training"] for parts in rounds.values()])
    each, fixed = np.polyfit(workers, costs, 1)
    cost = fixed + each * GPUS
    least = cost * WANTED / (1 - WANTED)
    return {
        "workers": GPUS,
        "round_cost_seconds": f"{fixed:.3f} + {each:.3f} * workers = {cost:.3f}",
        f"seconds_a_round_for_{WANTED}": round(least, 2),
        "pictures_a_gpu_and_round": f"{least:.2f} s * {arguments.gpu_rate:,.0f}/s = {least * arguments.gpu_rate:,.0f}",
    }


if __name__ == "__main__":
    main()
