"""Opens a folder as a data set with FiftyOne itself, and prints what it then holds as JSON. Run with its interpreter.

FiftyOne keeps data sets in a MongoDB. Where none is to be had, mongomock stands for it, in memory: the importer, the
migration to its own version, the documents and the views are FiftyOne's.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import mongoengine
import mongomock
import pymongo

_MEMORY = mongomock.store.ServerStore()


class InMemory(mongomock.MongoClient):  # type: ignore[misc]
    """A client of the one database in memory, whatever it is told."""

    _closed = False

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__(_store=_MEMORY)

    def server_info(self, session: Any = None) -> dict[str, Any]:
        """The version of a database that FiftyOne takes."""
        return {"version": "7.0.0", "versionArray": [7, 0, 0, 0]}


def main(folder: str) -> None:
    """Import `folder`, and say what is there."""
    connect = mongoengine.connect
    mongoengine.connect = lambda name, **_: connect(name, mongo_client_class=InMemory)
    pymongo.MongoClient = InMemory

    import fiftyone

    found = fiftyone.Dataset.from_dir(dataset_dir=folder, dataset_type=fiftyone.types.FiftyOneDataset, progress=False)
    worst = found.sort_by("loss", reverse=True).first()
    told = {
        "version": fiftyone.__version__,
        "media": found.media_type,
        "losses": found.values("loss"),
        "labels": found.values("ground_truth.label"),
        "paths": found.values("filepath"),
        "counts": found.count_values("ground_truth.label"),
        "worst": [worst.loss, worst.metadata.width, worst.skin_tone],
        "above": found.match(fiftyone.ViewField("loss") > 0.5).count(),
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
