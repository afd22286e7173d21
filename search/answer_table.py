"""What answers and rankings have in common: a sequence that is looked up by place or phrase, and a table for others.

pandas, polars, DuckDB and pyarrow take either as it is, through the Arrow C stream interface.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Generic, Protocol, Self, TypeVar, get_type_hints, overload


class _Row(Protocol):
    """An answer, as far as a table of them knows it."""

    @property
    def text(self) -> str: ...

    @property
    def title(self) -> str: ...

    def as_row(self) -> dict[str, Any]: ...


R = TypeVar("R", bound=_Row)


class AnswerTable(Generic[R]):
    """A sequence of answers.

    >>> import fsearch
    >>> ranking = fsearch.open(".fsearch").runs.ranking()  # doctest: +SKIP
    >>> ranking["dark skin tone"].verdict, len(ranking[:5]), ranking.to_pandas()  # doctest: +SKIP
    """

    __slots__ = ()
    answers: tuple[R, ...]
    hidden: tuple[R, ...]

    def __len__(self) -> int:
        return len(self.answers)

    def __iter__(self) -> Iterator[R]:
        return iter(self.answers)

    def __contains__(self, phrase: object) -> bool:
        return any(phrase in (a, a.text, a.title) for a in (*self.answers, *self.hidden))

    @overload
    def __getitem__(self, which: int | str) -> R: ...

    @overload
    def __getitem__(self, which: slice) -> Self: ...

    def __getitem__(self, which: int | str | slice) -> R | Self:
        """The answer at a place or to a phrase; for a slice, the same with fewer answers. Raises KeyError.

        What stands in `hidden` is found by its title, as in "in dim light [apart from dark skin]".
        """
        if isinstance(which, slice):
            return replace(self, answers=self.answers[which])  # type: ignore[type-var]
        if isinstance(which, int):
            return self.answers[which]
        every = (*self.answers, *self.hidden)
        found = next((a for a in every if which in (a.title, a.text)), None)
        if found is None:
            near = difflib.get_close_matches(which, [a.title for a in every], 1)
            raise KeyError(f"{which!r} was not asked" + (f"; did you mean {near[0]!r}?" if near else ""))
        return found

    def as_rows(self) -> list[dict[str, Any]]:
        """One flat row an answer, with its place; what is hidden comes last, `within` says apart from what."""
        return [{"rank": i, **a.as_row()} for i, a in enumerate((*self.answers, *self.hidden), start=1)]

    def to_arrow(self) -> Any:
        """A pyarrow table: a row an answer, a column a number. The types do not depend on the answers."""
        import pyarrow as pa

        kinds = {float: pa.float64(), int: pa.int64(), bool: pa.bool_(), str: pa.string()}
        hints = get_type_hints(type(self.answers[0])) if self.answers else {}
        names = list(self.answers[0].as_row()) if self.answers else []
        fields = [pa.field("rank", pa.int64())]
        for name in names:
            of = [kind for kind in getattr(hints[name], "__args__", (hints[name],)) if kind is not type(None)]
            fields.append(pa.field(name, kinds.get(of[0], pa.string())))
        return pa.Table.from_pylist(self.as_rows(), pa.schema(fields))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def to_pandas(self) -> Any:
        """A pandas DataFrame. Needs pandas.

        Examples
        --------
        >>> table = ws.query("dark skin tone", "a zeppelin").to_pandas()
        >>> table[["hypothesis", "verdict"]].values.tolist()
        [['dark skin tone', 'fails'], ['a zeppelin', 'unseen']]
        """
        return self.to_arrow().to_pandas()

    def to_polars(self) -> Any:
        """A polars DataFrame. Needs polars."""
        import polars

        return polars.DataFrame(self.to_arrow())

    def _repr_html_(self) -> str:
        from fsearch.search.notebook import table_html

        return table_html(self)
