"""Exporting a bundle: what is asked, a size check before anything is written, the files, and a report of their own."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from recsys.errors import UserError
from recsys.export.c_files import FORMAT_VERSION, CProject
from recsys.export.catalogue import ALL, choose_contents, choose_users
from recsys.export.device_model import device_model
from recsys.export.precision import FLOAT32, PRECISIONS, agreement
from recsys.export.unseen_users import unseen_users
from recsys.files import replacing_folder
from recsys.models.graph_scorer import GraphScorer
from recsys.models.scorer import Scorer
from recsys.serving.bundle import Bundle, load_bundle
from recsys.serving.manifest import checksum

C, ONNX = "c", "onnx"
FORMATS = (C, ONNX)
REPORT = "recsys_export.json"
# Pairs of users and contents for which an export holds what paths say; numbers in a blob take less memory than in text.
MOST_PAIRS, MOST_PAIRS_IN_BLOB = 10**7, 10**8
CODE_BYTES = 8 * 1024  # what recsys.c itself takes, roughly

_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What is exported and how.

    Attributes:
        format: "c" or "onnx".
        time: of the embeddings, ns; None for the bundle's.
        subset: conditions of the catalogue, see `choose_contents`.
        users: who has a place in the table, see `choose_users`.
        precision: of the embeddings: float32, float16 or int8; C only.
        blob: whether embeddings go to a file of their own; C only.
        flash: most bytes on the device; None for any number. C only.

    Raises:
        UserError: for values that mean nothing.
    """

    format: str = C
    time: int | None = None
    subset: Sequence[str] = field(default_factory=tuple)
    users: str = ALL
    precision: str = FLOAT32
    blob: bool = False
    flash: int | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UserError(f"There is no export format {self.format!r}: choose {' or '.join(FORMATS)}.")
        if self.precision not in PRECISIONS:
            raise UserError(f"--precision {self.precision}: choose one of {', '.join(PRECISIONS)}.")
        if self.format == ONNX and (self.precision != FLOAT32 or self.blob or self.flash is not None):
            raise UserError("--precision, --blob and --flash are about C headers: leave them out with --format onnx.")


def export_bundle(bundle_dir: Path, out: Path, options: ExportOptions) -> dict[str, Any]:
    """Export a bundle into a folder and say what came of it.

    Args:
        bundle_dir: of the bundle.
        out: the folder of the export; an older export there is replaced.
        options: what is asked.

    Returns:
        The report, which also stands in the folder as `recsys_export.json`.

    Raises:
        UserError: the bundle or the options cannot be used, or the export is larger than allowed. Nothing is written.
    """
    out = out.resolve()
    if out.exists() and not (out / REPORT).is_file() and not (out.is_dir() and not any(out.iterdir())):
        raise UserError(f"{out} exists and is no export: move it away or choose another folder with --out.")
    return export_model(load_bundle(bundle_dir), out, options)


def export_model(bundle: Bundle, out: Path, options: ExportOptions) -> dict[str, Any]:
    """As `export_bundle`, for a bundle that is loaded."""
    t = bundle.time if options.time is None else options.time
    contents = choose_contents(bundle.log, t, options.subset)
    users = choose_users(bundle.log, t, options.users)
    _check_pairs(bundle.scorer, len(users), len(contents), options)
    model = device_model(bundle, t, contents, users)
    report: dict[str, Any] = {
        "format": options.format,
        "format_version": FORMAT_VERSION,
        "model": bundle.manifest.model,
        "git_commit": git_commit(),
        "config_hash": checksum(bundle.manifest.config),
        "time": t,
        "data_time": bundle.manifest.data_time,
        "threshold": bundle.threshold,
        "contents": len(contents),
        "users": len(users),
        "moods": list(model.mood_names),
        "hidden": model.hidden,
        "options": {**asdict(options), "subset": list(options.subset)},
    }
    if options.format == ONNX:
        from recsys.export.onnx_files import write_onnx  # noqa: PLC0415 - an extra, and slow to import

        with replacing_folder(out) as folder:
            report["onnx"] = write_onnx(model, folder)
            _write_report(report, folder)
        return report
    unseen = unseen_users(model)
    project = CProject(
        model=model,
        unseen=unseen,
        precision=options.precision,
        blob=options.blob,
        git_commit=report["git_commit"],
        config_hash=report["config_hash"],
    )
    sizes = project.sizes
    report["bytes"] = {"total": sum(sizes.values()) + CODE_BYTES, "code": CODE_BYTES, **sizes}
    _check_flash(report["bytes"]["total"], options.flash)
    report["embed_user"] = unseen.report
    report["precision"] = {
        "stored": options.precision,
        **agreement(model, project.tables.get("users"), project.tables["contents"]),
    }
    with replacing_folder(out) as folder:
        project.write(folder)
        _write_report(report, folder)
    return report


def parse_bytes(text: str, option: str) -> int:
    """A number of bytes, such as 65536, 512k, 2M.

    Raises:
        UserError: for anything else.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,14})([kKmMgG]?)(?:i?[bB])?", text.strip())
    if not found:
        raise UserError(f"{option} {text}: say a number of bytes, such as 65536, 512k or 2M.")
    return int(found[1]) * _UNITS[found[2].lower()]


def size_text(size: int) -> str:
    """Bytes for a person to read."""
    for unit, factor in (("MiB", 1024**2), ("KiB", 1024)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def git_commit() -> str:
    """The commit of this code, "unknown" where it does not run from a git checkout."""
    git = shutil.which("git")
    here = Path(__file__).parents[2]
    if git is None or not (here / ".git").exists():
        return "unknown"
    done = subprocess.run(
        [git, "-C", str(here), "rev-parse", "HEAD"], capture_output=True, text=True, check=False, timeout=10
    )
    commit = done.stdout.strip()
    return commit if re.fullmatch("[0-9a-f]{40,64}", commit) else "unknown"


def _check_pairs(scorer: Scorer, users: int, contents: int, options: ExportOptions) -> None:
    """Before the work, which takes memory in proportion to it."""
    most = MOST_PAIRS_IN_BLOB if options.blob else MOST_PAIRS
    if isinstance(scorer, GraphScorer) and scorer.network.pair is not None and users * contents > most:
        raise UserError(
            f"The export would hold what paths say of {users:,} users x {contents:,} contents, but {most:,} pairs are "
            f"the most{'' if options.blob else f' (of C headers with --blob {MOST_PAIRS_IN_BLOB:,})'}: choose fewer "
            "with --users or --subset, or train with model.pair=none."
        )


def _check_flash(size: int, flash: int | None) -> None:
    if flash is not None and size > flash:
        raise UserError(
            f"The export would take about {size_text(size)}, more than --flash {size_text(flash)}: choose fewer "
            "contents with --subset, fewer users with --users, or --precision float16 or int8."
        )


def _write_report(report: dict[str, Any], folder: Path) -> None:
    report["files"] = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    (folder / REPORT).write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
