"""``lachesis calibrate``: a judge or a reward model compared with people's labels, and calibrated on them."""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from ...trainer.overrides import parts_of
from ...verifiers.errors import ConfigError
from ...verifiers.judges.calibration import METHODS, Calibration, calibrate, held_out
from ...verifiers.judges.labels import LabelledScores, score_labels
from ...verifiers.judges.reliability import Bin, auc, calibration_error, reliability
from ...verifiers.registry import make_verifier
from ..arguments import PASS_ON, split
from ..terminal import printable


@click.command("calibrate", context_settings=PASS_ON)
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="LABELS [JUDGE] [--judge.key VALUE]...")
@click.option(
    "--method", type=click.Choice(METHODS), default="isotonic", show_default=True, help="Platt suits fewer labels."
)
@click.option("-o", "--out", type=click.Path(path_type=Path), help="File for the calibration.")
def command(words: Sequence[str], method: str, out: Path | None) -> None:
    """Calibrate a judge or a reward model on the replies in LABELS.

    LABELS is a JSONL file of rows {"prompt", "completion", "label"}, and "answer" if the judge needs one; the label is
    true if a person accepts the reply. JUDGE is a TOML file with the parameters of the judge as in a rubric, and
    --judge.key VALUE sets one of them. With verifier = "reward_model" in them it is a reward model.

    Prints accuracy, Cohen's kappa and the area under the ROC curve, and how reliable the calibrated probabilities are
    in cross-validation. The judge's parameter calibration takes the file that -o writes.
    """
    plain, overrides = split(words)
    if not 1 <= len(plain) <= 2:
        raise ConfigError(f"calibrate takes LABELS and maybe JUDGE, found {' '.join(plain) or 'nothing'}")
    params = _read_judge(Path(plain[1])) if len(plain) == 2 else {}
    params = parts_of(overrides, judge=params)["judge"]
    name = params.pop("verifier", "judge")
    if out is not None and not out.parent.is_dir():
        raise ConfigError(f"-o {out}: there is no folder {out.parent}; make it first")
    judge: Any = make_verifier(name, params)
    if not hasattr(judge, "identity"):
        raise ConfigError(f"verifier {name!r} is no judge; set judge.verifier to judge or reward_model")
    labelled = score_labels(plain[0], judge)
    found = calibrate(judge.identity, labelled.scores, labelled.labels, method, judge.pass_mark)
    bins = reliability(held_out(labelled.scores, labelled.labels, method), labelled.labels)
    if out is not None:
        found.write(out)
    _print(found, labelled, bins, out)


def _read_judge(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; give a TOML file with the judge's parameters"
        ) from None
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise ConfigError(f"{path} is no TOML file: {error}") from None


def _print(found: Calibration, labelled: LabelledScores, bins: Sequence[Bin], out: Path | None) -> None:
    console = Console(highlight=False, emoji=False)
    accepted = sum(labelled.labels)
    console.print(
        f"{len(labelled.labels)} replies, of which people accept {accepted}; {labelled.unjudged} got no score"
    )
    table = Table("", "accuracy", "kappa", box=None, header_style="bold")
    for name, agreement in (("at the threshold", found.before), ("calibrated, in cross-validation", found.after)):
        assert agreement is not None
        table.add_row(name, f"{agreement.accuracy:.3f}", f"{agreement.kappa:.3f}")
    console.print(table)
    console.print(f"area under the ROC curve {auc(labelled.scores, labelled.labels):.3f}")
    shown = Table("probability", "replies", "predicted", "accepted", box=None, header_style="bold")
    for each in bins:
        ends = f"{each.low:.1f} to {each.high:.1f}"
        shown.add_row(ends, str(each.replies), f"{each.predicted:.3f}", f"{each.accepted:.3f}")
    console.print(shown)
    console.print(f"expected calibration error {calibration_error(bins):.3f}")
    if out is not None:
        console.print(printable(f'wrote {out}; use it with calibration = "{out}"'), markup=False, soft_wrap=True)
