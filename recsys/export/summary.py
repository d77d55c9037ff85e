"""An export's report as lines for a person and as metadata for an artifact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recsys.export.export import REPORT, C, size_text

DESCRIBING = (
    *("format", "format_version", "model", "git_commit", "config_hash", "time", "data_time", "threshold"),
    *("contents", "users", "moods", "hidden"),
)


def summary_lines(report: Mapping[str, Any], out: Path) -> list[str]:
    """What an export has come to, a line a fact."""
    lines = [
        f"{report['model']}: {report['contents']:,} contents, {report['users']:,} users, {len(report['moods'])} moods, "
        f"embeddings of {report['hidden']}"
    ]
    if report["format"] == C:
        stored = report["precision"]["stored"]
        paths = sum(size for name, size in report["bytes"].items() if name.startswith("pairs"))
        of_paths = f", {size_text(paths)} of it for paths between users and contents" if paths else ""
        lines.append(f"On the device: {size_text(report['bytes']['total'])} with {stored} embeddings{of_paths}")
        lines += [
            f"Against float32, {who}: identical top 10 for {found['identical_top_10']:.1%} of {found['rows']:.0f}, "
            f"overlap {found['top_10_overlap']:.1%}, largest error of a probability "
            f"{found['max_abs_error_of_probability']:.1g}"
            for who in ("users", "moods")
            if stored != "float32" and (found := report["precision"].get(who))
        ]
        lines.append(_embed_line(report["embed_user"]))
        lines.append(f"Written: {out} (make -C {out} test compiles it and compares it with PyTorch)")
    else:
        lines += [f"{name}: {_onnx_line(facts)}" for name, facts in report["onnx"].items()]
        lines.append(f"Written: {out}")
    lines.append(f"Report: {out / REPORT}")
    return lines


def report_metadata(report: Mapping[str, Any]) -> dict[str, Any]:
    """What an artifact says of an export: its origin and its size."""
    return {name: report[name] for name in DESCRIBING} | {"bytes": sum(report["files"].values())}


def _embed_line(found: Mapping[str, Any]) -> str:
    if found["exact"]:
        return "recsys_embed_user: exact"
    line = f"recsys_embed_user: a regression ({found['why']})"
    if "held_out" not in found:
        return line
    judged = found["held_out"]
    return (
        f"{line}; for {judged['users']:.0f} users it was not fitted on it explains "
        f"{judged['explained_variance']:.0%} of the variance, top 10 overlap {judged['top_10_overlap']:.0%}, "
        f"mean error of a probability {judged['mean_abs_error_of_probability']:.2g}"
    )


def _onnx_line(facts: Mapping[str, Any]) -> str:
    return f"largest error of onnxruntime against PyTorch {facts['max_abs_error']:.1g}, {size_text(facts['bytes'])}"
