"""A training that survives: checkpoints and resuming, signals, a lock, NaN, one line of progress, TensorBoard.

The folder of a session is no output of a rule: Snakemake deletes outputs before it runs a job again.
"""

import fcntl
import hashlib
import json
import math
import os
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors.torch
import torch
from safetensors import safe_open
from torch import Tensor, nn

from mixdepth.errors import ConfigurationError, Interrupted, UserError
from mixdepth.fields.storage import KEY
from mixdepth.progress import Progress

KEPT = 2  # checkpoints: the newest may be damaged
RECORD_EVERY = 20  # steps between two entries of TensorBoard, and between two looks at the figures
PREVIEWS = 4  # pictures per training


class Trainer(Protocol):
    """What a session trains."""

    def step(self, step: int) -> Mapping[str, Tensor | float]:
        """Do one step; figures to show, ``loss`` among them, where they are: to read one waits for its device."""

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Everything that the next step depends on: tensors, and what goes into JSON."""

    def load_state(self, tensors: dict[str, Tensor], rest: dict[str, Any]) -> None:
        """Go on from a state."""

    def preview(self) -> np.ndarray:
        """A small picture [H, W, 3] uint8 of what has been learnt; changes no state."""


class Diverged(UserError):
    """A loss is not a number."""


class Session:
    """Run a trainer from its last checkpoint to its last step.

    Args:
        folder: for checkpoints and TensorBoard; None keeps nothing.
        label: for the lines of progress.
        identity: what must be the same for a checkpoint to be of use: settings, inputs, versions. JSON-able.
        minutes: between two checkpoints.
    """

    def __init__(self, folder: Path | None, label: str, identity: Mapping[str, Any], minutes: float = 5.0):
        self.folder, self.label, self.minutes = folder, label, minutes
        self.identity = json.loads(json.dumps(identity))
        self.signal: int | None = None

    def run(self, trainer: Trainer, steps: int) -> None:
        """Train to the end.

        Raises:
            Interrupted: SIGTERM or SIGINT came; a checkpoint has been written. SIGUSR1 writes one and goes on.
            Diverged: a figure is not finite; told within RECORD_EVERY steps, and before a checkpoint has it.
            UserError: another process trains in this folder.
        """
        if self.folder is None:
            self._train(trainer, 0, steps, None)
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a+") as lock:
            self._lock(lock)
            handlers = self._listen()
            try:
                start = self._resume(self.folder, trainer)
                self._train(trainer, start, steps, self._recorder(self.folder, start))
            finally:
                for number, handler in handlers.items():
                    signal.signal(number, handler)

    def _train(self, trainer: Trainer, start: int, steps: int, recorder: Any) -> None:
        progress = Progress(self.label, steps, done=start)
        saved = time.monotonic()
        unread: list[tuple[int, Mapping[str, Tensor | float]]] = []
        figures: dict[str, float] = {}
        for step in range(start, steps):
            try:
                unread.append((step, trainer.step(step)))
            except RuntimeError:
                self._read(unread)  # a loss that is not a number may be why
                raise
            asked, self.signal = self.signal, None
            due = time.monotonic() - saved > 60 * self.minutes
            record = step % RECORD_EVERY == 0 or step == steps - 1
            save = self.folder if asked or due or step == steps - 1 else None  # where to
            if record or save:
                figures = self._read(unread)
            progress.update(**figures)
            if recorder is not None and record:
                for name, value in figures.items():
                    recorder.add_scalar(name, value, step)
            if recorder is not None and (step + 1) % math.ceil(steps / PREVIEWS) == 0:
                recorder.add_image("preview", trainer.preview(), step, dataformats="HWC")
            if save:
                written = self._save(save, trainer, step + 1)
                saved = time.monotonic()
                if asked in (signal.SIGTERM, signal.SIGINT) and step < steps - 1:
                    where = (
                        f"the same command goes on from step {step + 1}" if written else "no checkpoint fits the disk"
                    )
                    raise Interrupted(f"{self.label}: stopped by {signal.Signals(asked).name}; {where}")
        if recorder is not None:
            recorder.close()

    def _read(self, unread: list[tuple[int, Mapping[str, Tensor | float]]]) -> dict[str, float]:
        """Figures of the last of the ``unread`` steps, which are none after this.

        Raises:
            Diverged: a figure of one of them is not finite.
        """
        figures = {}
        for step, values in unread:
            figures = {name: float(value) for name, value in values.items()}
            for name, value in figures.items():
                if not math.isfinite(value):
                    raise Diverged(
                        f"{self.label}: {name} is {value} at step {step}, so that nothing more can be learnt. Lower"
                        " grid_rate and network_rate, or depth_weight where there is depth"
                        + (f"; the scalars up to here are in {self.folder}/tensorboard" if self.folder else "")
                    )
        unread.clear()
        return figures

    def _lock(self, lock: Any) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise ConfigurationError(
                f"{self.folder}: process {lock.read().strip() or 'unknown'} trains here already; wait for it, or end it"
            ) from None
        except OSError as error:
            raise ConfigurationError(
                f"{self.folder}: no file can be locked there ({error.strerror}), so that two trainings could spoil each"
                " other; put results/ on a file system with locks (a link will do)"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()

    def _listen(self) -> dict[int, Any]:
        """Note signals from now on; the handlers there were before."""

        def note(number: int, _: Any) -> None:
            if self.signal == signal.SIGINT == number:  # asked twice: at once
                raise KeyboardInterrupt
            self.signal = number

        try:
            return {n: signal.signal(n, note) for n in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)}
        except ValueError:  # not the main thread
            return {}

    def _recorder(self, folder: Path, start: int) -> Any:
        try:
            import PIL.Image  # noqa: F401 (tensorboard's add_image needs it)
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            print(f"{error.name} is not installed, so training curves are not recorded", file=sys.stderr)
            return None
        return SummaryWriter(str(folder / "tensorboard"), purge_step=start)

    def _save(self, folder: Path, trainer: Trainer, step: int) -> bool:
        """Write a checkpoint whose name has its checksum; a full disk is no reason to stop."""
        tensors, rest = trainer.state()
        header = json.dumps({"identity": self.identity, "rest": rest}, sort_keys=True)
        data = safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, {KEY: header})
        temporary = folder / "checkpoint.tmp"
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.rename(folder / f"step-{step:08d}-{hashlib.sha256(data).hexdigest()[:16]}.safetensors")
        except OSError as error:
            temporary.unlink(missing_ok=True)
            print(f"warning: {self.label}: no checkpoint at step {step}: {error.strerror}", file=sys.stderr)
            return False
        for old in checkpoints(folder)[:-KEPT]:
            old.unlink()
        return True

    def _resume(self, folder: Path, trainer: Trainer) -> int:
        """Load the newest sound checkpoint of this identity; the step to go on with."""
        for path in reversed(checkpoints(folder)):
            digest = path.stem.rsplit("-", 1)[1]
            if hashlib.sha256(path.read_bytes()).hexdigest()[:16] != digest:
                print(f"warning: {path}: damaged, so the checkpoint before it is used", file=sys.stderr)
                path.unlink()
                continue
            with safe_open(path, framework="pt") as file:
                header = json.loads(file.metadata()[KEY])
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (not a dict)
            if header["identity"] != self.identity:
                other = header["identity"]
                keys = sorted(k for k in {*other, *self.identity} if other.get(k) != self.identity.get(k))
                print(f"{self.label}: {', '.join(keys)} changed, so training starts anew", file=sys.stderr)
                break
            trainer.load_state(tensors, header["rest"])
            return int(path.stem.split("-")[1])
        discard(folder)
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        return 0


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints of a session's folder, oldest first."""
    return sorted(folder.glob("step-*.safetensors"))


def discard(folder: Path) -> None:
    """Remove the checkpoints of a session, and of those below it; curves stay."""
    for path in folder.rglob("step-*.safetensors"):
        path.unlink()


def pack(module: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator) -> dict[str, Tensor]:
    """Weights, buffers, moments and random state as named tensors."""
    saved = module.state_dict()
    tensors = {f"module.{name}": value for name, value in saved.items()}
    tensors |= {f"buffer.{name}": value for name, value in module.named_buffers() if name not in saved}
    for name, parameter in module.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            tensors[f"optimiser.{name}.{key}"] = value
    return tensors | {"generator": generator.get_state()}


def unpack(
    tensors: dict[str, Tensor], module: nn.Module, optimiser: torch.optim.Optimizer, generator: torch.Generator
) -> None:
    """The reverse of :func:`pack`, of a module whose parameters have the sizes of the tensors, on its device."""
    module.load_state_dict({k.removeprefix("module."): v for k, v in tensors.items() if k.startswith("module.")})
    for name, buffer in module.named_buffers():
        if f"buffer.{name}" in tensors:
            buffer.copy_(tensors[f"buffer.{name}"])
    for name, parameter in module.named_parameters():
        prefix = f"optimiser.{name}."
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        if state:
            optimiser.state[parameter] = {k: v.to(parameter.device) for k, v in state.items()}
    if len(tensors["generator"]) == len(generator.get_state()):  # else it was of another kind of device
        generator.set_state(tensors["generator"].cpu())
