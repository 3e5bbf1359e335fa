"""A loading whose first steps are done once, in a fork server, for all the replicas that it forks."""

from __future__ import annotations

from time import monotonic
from typing import Any

from sojourn.domain.function import FunctionManifest
from sojourn.replica.load import LoadFailedError, Loading
from sojourn.replica.model import Model


class Preparation(Loading):
    """What `prepare` did is there for every replica forked afterwards; its failure is each replica's own.

    A replica goes through the same steps as any other (`import_code`, `construct`, `warm_up`): those that are
    done give what they gave here, and take no time.

    Args:
        manifest: The function.
    """

    def __init__(self, manifest: FunctionManifest) -> None:
        super().__init__(manifest)
        self.fault: LoadFailedError | None = None
        self._code: tuple[Any, bool] | None = None
        self._model: Model | None = None
        self._is_loaded_here = manifest.settings.share == "fork"
        self._ends_at_s = {"import_s": 0.0, "load_s": 0.0, "warmup_s": 0.0}  # of the phases, in monotonic seconds

    def prepare(self) -> None:
        """Import the code, and load and warm up the model if it is to be shared; a failure is kept in `fault`."""
        try:
            self._code = super().import_code()
            self._ends_at_s["import_s"] = monotonic()
            subject, is_async = self._code
            if self._is_loaded_here and not is_async:  # declared together they are refused: a loop cannot be shared
                self._model = super().construct(subject)
                self._ends_at_s["load_s"] = monotonic()
                super().warm_up(self._model)
                self._ends_at_s["warmup_s"] = monotonic()
        except LoadFailedError as error:
            self.fault = error

    def count_from(self, asked_at_s: float) -> None:
        """Of each phase leave what a replica asked for at `asked_at_s` (monotonic seconds) had to wait for it."""
        for phase, ended_at_s in self._ends_at_s.items():
            waited_s = min(getattr(self, phase), ended_at_s - asked_at_s)
            setattr(self, phase, max(0.0, waited_s))

    def import_code(self) -> tuple[Any, bool]:
        """The code that was imported.

        Raises:
            LoadFailedError: It could not be imported, or the shared model could not be loaded.
        """
        if self.fault is not None:
            raise self.fault
        assert self._code is not None, "prepare comes first"
        return self._code

    def construct(self, subject: Any) -> Model:
        """The shared model, or one of this replica's own.

        Raises:
            LoadFailedError: The constructor raised.
        """
        return self._model if self._model is not None else super().construct(subject)

    def warm_up(self, model: Model) -> None:
        """Warm up what was not warmed up before the fork.

        Raises:
            LoadFailedError: The warm-up raised, or an example was not served.
        """
        if model is not self._model:
            super().warm_up(model)
