"""The table of test metrics that a run prints when it ends."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table

from recsys.evaluation.protocol import COLD_CONTENTS
from recsys.evaluation.references import COLD_RIVALS, ORACLE

SHOWN = ("ndcg@10", "recall@20", "mrr@10", "hit_rate@10", "auroc", "average_precision")
SLICES = ("all", "warm_users", "cold_users", "cold_users_mood", "warm_contents", "cold_contents")


def print_summary(
    model: str,
    test: Mapping[str, Mapping[str, float]],
    references: Mapping[str, Mapping[str, Mapping[str, float]]],
    left_out: Mapping[str, str],
) -> None:
    """Print test metrics by slice, and below them those of the references.

    These are shown on all users, on the mood's users beside the model without the mood, and on cold contents.

    Args:
        model: name of the model.
        test: slice -> metric -> value.
        references: name of the reference -> slice -> metric -> value.
        left_out: name of a reference that is not there -> why.
    """
    table = Table(title=f"Test metrics of {model}", caption_justify="left")
    table.add_column("slice")
    table.add_column("users", justify="right")
    for metric in SHOWN:
        table.add_column(metric.replace("average_precision", "avg. precision"), justify="right")
    for name in SLICES:
        if name in test:
            table.add_row(name, *cells(test[name]))
    table.add_section()
    for name, slices in references.items():
        if "all" in slices:
            table.add_row(f"{name} (all)", *cells(slices["all"]), style="dim")
    if "cold_users_mood" in test:  # the same users, ranked without the mood
        table.add_section()
        regular = {model: test, **references}
        for name, slices in regular.items():
            if "cold_users_regular" in slices:
                table.add_row(f"{name} (cold_users_mood)", *cells(slices["cold_users_regular"]), style="dim")
    rivals = {name: references[name] for name in (*COLD_RIVALS, ORACLE) if name in references}
    if COLD_CONTENTS in test:
        table.add_section()
        for name, slices in rivals.items():
            if COLD_CONTENTS in slices:
                table.add_row(f"{name} ({COLD_CONTENTS})", *cells(slices[COLD_CONTENTS]), style="dim")
    table.caption = "\n".join(f"Without {name}: {why}" for name, why in left_out.items()) or None
    # A fixed width keeps the table whole where the output is not a terminal.
    Console(width=120).print(table)


def cells(values: Mapping[str, float]) -> list[str]:
    """One row's numbers; a metric that the slice does not have stays empty."""
    numbers = [f"{values[metric]:.4f}" if metric in values else "" for metric in SHOWN]
    return [f"{values['users']:,.0f}", *numbers]
