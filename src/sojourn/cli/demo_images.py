"""The demo's images: held out from training, sent under a number each, and judged by it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec

from sojourn.errors import SojournError, TargetError

_HELD_OUT_TIMEOUT_S = 60.0
# Run by a child, so that this process never pays for the model's libraries.
_PRINT_HELD_OUT = """
import runpy, sys, msgspec
held_out = runpy.run_path(sys.argv[1], run_name="held_out")["held_out"]()
sys.stdout.buffer.write(msgspec.json.encode([(image.pixels, digit) for image, digit in held_out]))
"""


class HeldOut(msgspec.Struct, array_like=True, frozen=True):
    """An image the model has not seen, and the digit it shows."""

    pixels: msgspec.Raw
    digit: int


class Answer(msgspec.Struct, frozen=True):
    """What the demo reads of a prediction."""

    id: int
    digit: int


class Examiner:
    """Makes a request for each index, and judges its answer: is it this image's, and is it right?"""

    def __init__(self, images: list[HeldOut]) -> None:
        self._images = images
        self._decoder = msgspec.json.Decoder(Answer)
        self.checked = 0
        self.correct = 0

    def body(self, index: int) -> bytes:
        """The request: an image under the request's own number."""
        image = self._images[index % len(self._images)]
        return b'{"id":%d,"pixels":%b}' % (index, bytes(image.pixels))

    def check(self, index: int, body: bytes) -> bool:
        """Whether the answer carries the number of its request; right predictions are counted."""
        try:
            answer = self._decoder.decode(body)
        except msgspec.DecodeError:
            return False
        if answer.id != index:
            return False
        self.checked += 1
        self.correct += answer.digit == self._images[index % len(self._images)].digit
        return True

    @property
    def accuracy(self) -> float | None:
        """Share of right predictions among the answers that were the image's own."""
        return self.correct / self.checked if self.checked else None


def app_file(app: Path | None) -> Path:
    """The file to serve: the one named, or the example in this directory or the source tree.

    Raises:
        TargetError: There is none.
    """
    if app is not None:
        candidates = [app]
    else:
        source_tree = Path(__file__).resolve().parents[3]
        candidates = [Path("examples/digits.py"), source_tree / "examples" / "digits.py"]
    for path in candidates:
        if path.is_file():
            return path
    raise TargetError(f"{candidates[0]} was not found; run the demo in the source tree, or name the file with --app")


def held_out(app: Path) -> list[HeldOut]:
    """The images `app` keeps out of training, from a process that imports it.

    Raises:
        TargetError: It cannot be imported or has none.
        SojournError: That took too long, or the answer cannot be read.
    """
    command = [sys.executable, "-c", _PRINT_HELD_OUT, str(app)]
    try:
        done = subprocess.run(command, capture_output=True, check=True, timeout=_HELD_OUT_TIMEOUT_S)  # noqa: S603 - our own interpreter
        return msgspec.json.decode(done.stdout, type=list[HeldOut])
    except subprocess.CalledProcessError as err:
        last = err.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        hint = "; install the extra `demo` (scikit-learn), as `make setup` does" if "sklearn" in last else ""
        raise TargetError(f"the held-out images of {app} could not be had: {last}{hint}") from err
    except (subprocess.TimeoutExpired, msgspec.DecodeError) as err:
        raise SojournError(f"the held-out images of {app} could not be had: {err}") from err
