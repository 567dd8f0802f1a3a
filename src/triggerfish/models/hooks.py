"""The one file that attaches hooks to a model.

Everything but `install` is a context manager: sites are checked before any hook is attached, hooks
are put before those already there (transformers 5 leaves its own on layers), they are removed also
after an exception, and a site that never ran is an error, never a silent no-op.

Hooks are prepended, so of two nested contexts at the same site the inner one sees the tensor
first: capture outside, edit inside, and the captured tensor is the edited one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from triggerfish.errors import BadInput, CouldNotTest
from triggerfish.models.layout import Layout, layout_of

Kind = Literal["residual", "heads", "attention", "mlp", "neurons"]
KINDS: tuple[str, ...] = get_args(Kind)
Edit = Callable[[Tensor], Tensor | None]


@dataclass(frozen=True, order=True)
class Site:
    """A place in a model.

    Attributes:
        kind: ``residual`` (output of a layer, [B, T, D]), ``heads`` (concatenated heads, the
            input of the attention output projection, [B, T, H * head_dim]), ``attention`` (output
            of that projection, [B, T, D]), ``mlp`` (output of the MLP, [B, T, D]) or ``neurons``
            (what the last linear map of the MLP reads, [B, T, F]).
        layer: Layer, from 0.

    Raises:
        BadInput: Unknown kind.
    """

    kind: Kind
    layer: int

    def __post_init__(self) -> None:
        """Refuse an unknown kind."""
        if self.kind not in KINDS:
            raise BadInput(f"site {self.kind!r}", "is not known", f"use one of: {', '.join(KINDS)}")


@contextmanager
def capture(model: nn.Module, sites: Sequence[Site]) -> Iterator[dict[Site, Tensor]]:
    """Keep the tensors at some sites, as they flow.

    Yields:
        A dictionary that holds, after each forward, the tensor of the latest forward for each
        site, [B, T, width of the site]. Not copied and not detached.

    Raises:
        BadInput: No sites, or a layer that the model does not have.
        CouldNotTest: On leaving, a site never ran.
    """
    found: dict[Site, Tensor] = {}

    def keep(site: Site) -> Edit:
        def fn(tensor: Tensor) -> None:
            found[site] = tensor

        return fn

    with edit(model, {site: keep(site) for site in sites}):
        yield found


@contextmanager
def edit(model: nn.Module, edits: Mapping[Site, Edit]) -> Iterator[None]:
    """Replace the tensors at some sites by a function of them.

    Args:
        model: A model of a known architecture, PEFT-wrapped or not.
        edits: For each site, a function from its tensor to the new one (same shape), or to None
            to leave it. It runs once in each forward; with a cache it sees only the new positions.

    Raises:
        BadInput: No sites, or a layer that the model does not have.
        CouldNotTest: An edit changed the shape, or, on leaving, a site never ran.
    """
    if not edits:
        raise BadInput("no sites", "there must be one", "name at least one site")
    layout = layout_of(model)
    targets = {site: _module(layout, model, site) for site in edits}  # checked before attaching
    ran: set[Site] = set()
    with ExitStack() as attached:
        for site, fn in edits.items():
            handle = _attach(targets[site], site, fn, ran)
            attached.callback(handle.remove)
        yield
    missed = sorted(set(edits) - ran)
    if missed:
        raise CouldNotTest(
            f"site {missed[0].kind} {missed[0].layer}",
            "never ran",
            "run the model inside the context; if it did run, report its architecture",
        )


def install(model: nn.Module, edits: Mapping[Site, Edit]) -> Callable[[], None]:
    """Attach edits that stay, as part of a loaded model; return what takes them off.

    For what belongs to a model like its weights (a steering vector); everything else is a context,
    and sees the tensors as these edits leave them.

    Raises:
        BadInput: No sites, or a layer that the model does not have.
    """
    if not edits:
        raise BadInput("no sites", "there must be one", "name at least one site")
    layout = layout_of(model)
    targets = {site: _module(layout, model, site) for site in edits}
    handles = [_attach(targets[site], site, fn, set(), stays=True) for site, fn in edits.items()]

    def remove() -> None:
        for handle in handles:
            handle.remove()

    return remove


@contextmanager
def record_calls(
    model: nn.Module, modules: Sequence[nn.Module]
) -> Iterator[list[tuple[tuple[Any, ...], dict[str, Any]]]]:
    """Keep how some modules of a model are called, in the next forward.

    Yields:
        A list that holds, after the forward, for each module in the order given, the positional
        and the keyword arguments of its latest call.

    Raises:
        BadInput: A module is not part of the model.
        CouldNotTest: On leaving, a module never ran.
    """
    parts = {id(part) for part in model.modules()}
    if not modules or any(id(module) not in parts for module in modules):
        raise BadInput("modules", "must be parts of the model", "take them from its layout")
    calls: dict[int, tuple[tuple[Any, ...], dict[str, Any]]] = {}
    ordered: list[tuple[tuple[Any, ...], dict[str, Any]]] = []

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls[id(module)] = (args, kwargs)
        ordered[:] = [calls[id(each)] for each in modules if id(each) in calls]

    with ExitStack() as attached:
        for module in modules:
            handle = module.register_forward_pre_hook(keep, prepend=True, with_kwargs=True)
            attached.callback(handle.remove)
        yield ordered
    if len(ordered) < len(modules):
        raise CouldNotTest(
            f"{len(modules) - len(ordered)} of {len(modules)} modules",
            "never ran",
            "run the model inside the context",
        )


def _module(layout: Layout, model: nn.Module, site: Site) -> nn.Module:
    if site.kind == "residual":
        return layout.layer(model, site.layer)
    if site.kind == "mlp":
        return layout.mlp(model, site.layer)
    if site.kind == "neurons":
        return layout.mlp_output(model, site.layer)
    return layout.attention_output(model, site.layer)


def _attach(
    module: nn.Module, site: Site, fn: Edit, ran: set[Site], *, stays: bool = False
) -> RemovableHandle:
    def changed(tensor: Tensor) -> Tensor:
        ran.add(site)
        new = fn(tensor)
        if new is None:
            return tensor
        if new.shape != tensor.shape:
            raise CouldNotTest(
                f"edit of {site.kind} {site.layer}",
                f"changed the shape {tuple(tensor.shape)} to {tuple(new.shape)}",
                "return a tensor of the same shape",
            )
        return new

    if site.kind in ("heads", "neurons"):

        def before(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
            return (changed(args[0]), *args[1:])

        before.stays = stays  # type: ignore[attr-defined]
        return _first(module.register_forward_pre_hook(before, prepend=True), module)

    def after(_: nn.Module, __: tuple[Any, ...], output: Any) -> Any:
        if isinstance(output, tuple):
            return (changed(output[0]), *output[1:])
        return changed(output)

    after.stays = stays  # type: ignore[attr-defined]
    return _first(module.register_forward_hook(after, prepend=True), module)


def _first(handle: RemovableHandle, module: nn.Module) -> RemovableHandle:
    """Keep what belongs to the model before what looks at it."""
    for hooks in (module._forward_hooks, module._forward_pre_hooks):
        attached = cast("OrderedDict[int, Callable[..., Any]]", hooks)
        for number, hook in list(attached.items()):
            if getattr(hook, "stays", False):
                attached.move_to_end(number, last=False)
    return handle
