"""Exchanging all values of a set. Small differences are one transaction; large ones a new generation beside the old.

Building a generation takes many short transactions, so that others can write in between; one last transaction
switches. A builder that died leaves its generation named in `building`; the next exchange of that set removes it.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice

from msgspec import Struct

from cairn.members import feed
from cairn.members.encoding import (
    GENERATION_BYTES,
    Head,
    name_key,
    new_generation,
    read_head,
    rows_of,
    value_key,
    value_row,
    with_since,
    write_head,
)
from cairn.members.environment import Environment, Tables, Transaction

PIECE = 20_000  # rows per transaction: others wait for about 0.1 s at most
_ATTEMPTS = 3  # against writers in other processes; then the exchange shuts them out


class _Plan(Struct):
    """What it takes to get from the set as it was seen to the wanted values."""

    seen: Head | None
    wanted: dict[bytes, bytes]  # every value: key -> row, with the since it had
    added: list[bytes]
    removed: list[bytes]


def exchange(environment: Environment, name: str, values: Mapping[str, int]) -> tuple[int, int]:
    """Make the set exactly these values; return how many were really added and removed."""
    wanted_rows = {value_key(value): value_row(value, since) for value, since in values.items()}
    tables = environment.tables
    for _ in range(_ATTEMPTS):
        plan = environment.read(lambda transaction: _plan(transaction, tables, name, wanted_rows))
        if _exchange_as_planned(environment, name, plan):
            break
    else:
        plan = environment.write(lambda transaction: _exchange_alone(transaction, tables, name, wanted_rows))
    collect_garbage(environment)
    return len(plan.added), len(plan.removed)


def discard(transaction: Transaction, tables: Tables, generation: bytes) -> None:
    """Nobody reads this generation any more; `collect_garbage` deletes it."""
    transaction.put(generation, b"", db=tables["garbage"])


def collect_garbage(environment: Environment) -> None:
    tables = environment.tables

    def delete_piece(transaction: Transaction) -> bool:
        with transaction.cursor(db=tables["garbage"]) as cursor:
            if not cursor.first():
                return False
            generation = cursor.key()
        with transaction.cursor(db=tables["values"]) as cursor:
            cursor.set_range(generation)
            for _ in range(PIECE):
                if cursor.key()[:GENERATION_BYTES] != generation:
                    transaction.delete(generation, db=tables["garbage"])
                    break
                cursor.delete()
        return True

    if environment.read(lambda transaction: transaction.stat(tables["garbage"])["entries"]):
        environment.clear_dead_readers()
        while environment.write(delete_piece):
            pass


def _plan(transaction: Transaction, tables: Tables, name: str, wanted_rows: dict[bytes, bytes]) -> _Plan:
    seen = read_head(transaction, tables, name)
    added = dict(wanted_rows)
    removed: list[bytes] = []
    kept = dict(wanted_rows)
    if seen is not None:
        for key, row in rows_of(transaction, tables, seen.generation):
            if key in kept:
                kept[key] = with_since(kept[key], row)
                del added[key]
            else:
                removed.append(key)
    return _Plan(seen, kept, list(added), removed)


def _exchange_as_planned(environment: Environment, name: str, plan: _Plan) -> bool:
    """False when another process changed the set since the plan was made."""
    tables = environment.tables
    if len(plan.added) + len(plan.removed) <= PIECE:

        def patch(transaction: Transaction) -> bool:
            if read_head(transaction, tables, name) != plan.seen:
                return False
            _patch(transaction, tables, name, plan)
            return True

        return environment.write(patch)
    return _build_and_switch(environment, name, plan)


def _exchange_alone(
    transaction: Transaction, tables: Tables, name: str, wanted_rows: dict[bytes, bytes]
) -> _Plan:
    plan = _plan(transaction, tables, name, wanted_rows)
    _patch(transaction, tables, name, plan)
    return plan


def _patch(transaction: Transaction, tables: Tables, name: str, plan: _Plan) -> None:
    if not plan.added and not plan.removed:
        return
    head = plan.seen or Head(new_generation(transaction, tables), 0, 0)
    for key in plan.removed:
        transaction.delete(head.generation + key, db=tables["values"])
    for key in plan.added:
        transaction.put(head.generation + key, plan.wanted[key], db=tables["values"])
    write_head(transaction, tables, name, Head(head.generation, len(plan.wanted), head.version + 1))
    feed.note(transaction, tables, name, head.version + 1, [*plan.added, *plan.removed])


def _build_and_switch(environment: Environment, name: str, plan: _Plan) -> bool:
    rows = iter(sorted(plan.wanted.items()))
    pieces = iter(lambda: list(islice(rows, PIECE)), [])
    return build(environment, name, pieces, seen=plan.seen, changed=[*plan.added, *plan.removed]) is not None


def build(
    environment: Environment,
    name: str,
    pieces: Iterable[list[tuple[bytes, bytes]]],
    *,
    seen: Head | None,
    changed: list[bytes] | None = None,
    skip: int = 0,
) -> int | None:
    """Write a new generation of a set in pieces, beside the old one, and switch to it; return how many rows it has.

    `seen`: the set as the rows were made from it. `changed`: the keys that come or go, where they are known.
    `skip`: bytes before each key that are not its own.
    None: another process changed the set, or exchanges it too; nothing was switched.
    """
    tables = environment.tables
    generation = environment.write(lambda transaction: _begin(transaction, tables, name))
    size = 0
    for piece in pieces:
        add = partial(_add, tables=tables, name=name, generation=generation, piece=piece, skip=skip)
        if not environment.write(add):
            return None
        size += len(piece)

    def switch(transaction: Transaction) -> bool:
        if not _is_building(transaction, tables, name, generation):
            return False
        transaction.delete(name_key(name), db=tables["building"])
        if read_head(transaction, tables, name) != seen:
            discard(transaction, tables, generation)
            return False
        if seen is not None:
            discard(transaction, tables, seen.generation)
        version = (seen.version if seen else 0) + 1
        write_head(transaction, tables, name, Head(generation, size, version))
        feed.note(transaction, tables, name, version, changed)
        return True

    return size if environment.write(switch) else None


def _begin(transaction: Transaction, tables: Tables, name: str) -> bytes:
    abandoned = transaction.get(name_key(name), db=tables["building"])
    if abandoned:
        discard(transaction, tables, abandoned)
    generation = new_generation(transaction, tables)
    transaction.put(name_key(name), generation, db=tables["building"])
    return generation


def _is_building(transaction: Transaction, tables: Tables, name: str, generation: bytes) -> bool:
    return bool(transaction.get(name_key(name), db=tables["building"]) == generation)


def _add(
    transaction: Transaction,
    tables: Tables,
    name: str,
    generation: bytes,
    piece: list[tuple[bytes, bytes]],
    skip: int,
) -> bool:
    # Another process that exchanges the same set has declared this generation abandoned: write no more of it.
    if not _is_building(transaction, tables, name, generation):
        return False
    rows: Iterator[tuple[bytes, bytes]] = ((generation + key[skip:], row) for key, row in piece)
    with transaction.cursor(db=tables["values"]) as cursor:
        cursor.putmulti(rows)
    return True
