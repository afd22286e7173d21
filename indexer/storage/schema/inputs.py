"""Tables of what was brought in: images, where they come from, losses, the user's own columns."""

from __future__ import annotations

from fsearch.indexer.storage.schema.table import Table

DATA_TABLES: tuple[Table, ...] = (
    Table(
        "settings",
        "What the workspace is: schema version, encoder, dimension.",
        (("name", "VARCHAR", "setting"), ("value", "VARCHAR", "its value")),
        "name",
    ),
    Table(
        "images",
        "One row an image.",
        (
            ("image_id", "BIGINT", "identity, kept while the file keeps its source and key"),
            ("source", "VARCHAR", "the data set the image came from, see sources"),
            ("key", "VARCHAR", "its name within the source: a path below it, a URL, an id or a number"),
            ("sha256", "VARCHAR", "hash of the encoded bytes, or of the pixels of an image that was in memory"),
            ("width", "INTEGER", "pixels, upright"),
            ("height", "INTEGER", "pixels, upright"),
            ("bytes", "BIGINT", "how many"),
            (
                "mtime_ns",
                "BIGINT",
                "time of last change of its file when read, nanoseconds; null where only reading tells",
            ),
            ("row", "BIGINT", "global row of its embedding: shards one under the other"),
            (
                "status",
                "VARCHAR",
                "'present'; 'missing' when the last index run did not find it; 'damaged' when its embedding was lost",
            ),
            ("indexed_at", "TIMESTAMP", "when it was embedded"),
        ),
        "image_id",
    ),
    Table(
        "shards",
        "Committed embedding shards; a file that is not listed here does not count.",
        (
            ("shard", "INTEGER", "number, also the file name"),
            ("first_row", "BIGINT", "global row of its first embedding"),
            ("rows", "INTEGER", "embeddings in it"),
            ("sha256", "VARCHAR", "hash of the file"),
        ),
        "shard",
    ),
    Table(
        "vector_index",
        "What is known of index.faiss, one row: its kind, its size, and the share of the truth it finds.",
        (
            ("kind", "VARCHAR", "'exact', 'ivf-fp16', 'ivf-sq8' or 'ivf-pq'"),
            ("rows", "BIGINT", "embeddings in it"),
            ("lists", "INTEGER", "inverted lists; 0 for exact"),
            ("probes", "INTEGER", "lists that a query looks at"),
            ("bytes", "BIGINT", "size of the file"),
            ("recall_100", "DOUBLE", "share of the 100 true nearest found, over images and phrases, the lower of both"),
            ("recall_2048", "DOUBLE", "the same of the 2,048 nearest, which a phrase is judged by"),
            ("target", "DOUBLE", "recall asked for"),
            ("measured_rows", "BIGINT", "embeddings in it when the recall was measured"),
            ("queries", "INTEGER", "queries it was measured with"),
            ("sha256", "VARCHAR", "hash of the file"),
            ("saved_at", "TIMESTAMP", "when"),
        ),
        "kind",
    ),
    Table(
        "sources",
        "Where images come from, and how to open it again.",
        (
            ("source", "VARCHAR", "identity, as in images"),
            ("location", "VARCHAR", "path, pattern or module:object; null for images a program held"),
            ("options", "VARCHAR", "JSON: how it is read"),
        ),
        "source",
    ),
    Table(
        "rejected",
        "Images that could not be used, with the reason.",
        (
            ("source", "VARCHAR", "the data set"),
            ("key", "VARCHAR", "name within it"),
            ("reason", "VARCHAR", "why"),
            ("bytes", "BIGINT", "size of the file"),
            ("mtime_ns", "BIGINT", "time of last change when read"),
            ("rejected_at", "TIMESTAMP", "when"),
        ),
        "source, key",
    ),
    Table(
        "losses",
        "One row a black box and image.",
        (
            ("model", "VARCHAR", "name of the black box"),
            ("image_id", "BIGINT", "the image"),
            ("loss", "DOUBLE", "its task loss; higher is worse"),
            ("label", "VARCHAR", "what was right, if it was said"),
            ("prediction", "VARCHAR", "what the black box said, if it is known"),
            (
                "split",
                "VARCHAR",
                "'train' where the model was trained on the image, 'held-out' where not, if it was said",
            ),
            ("target_digest", "VARCHAR", "hash of what was right when it was judged: another one judges it anew"),
        ),
        "model, image_id",
    ),
    Table(
        "black_boxes",
        "How the losses of each black box came about.",
        (
            ("model", "VARCHAR", "name of the black box"),
            ("task", "VARCHAR", "the loss, with its settings; null where a losses file gave it"),
            ("origin", "VARCHAR", "the losses file, predictions file or model"),
            ("fingerprint", "VARCHAR", "hash of all that the losses depend on: another one computes them anew"),
            ("added_at", "TIMESTAMP", "when"),
        ),
        "model",
    ),
    Table(
        "pending_losses",
        "Losses of a run that has not ended: kept for the next, and moved to losses all at once.",
        (
            ("model", "VARCHAR", "name of the black box"),
            ("fingerprint", "VARCHAR", "of the run"),
            ("image_id", "BIGINT", "the image"),
            ("target_digest", "VARCHAR", "as in losses"),
            ("loss", "DOUBLE", "its loss; null where it could not be had"),
            ("label", "VARCHAR", "what was right"),
            ("prediction", "VARCHAR", "what the black box said"),
            ("reason", "VARCHAR", "why there is no loss"),
        ),
        "model, image_id",
    ),
    Table(
        "prediction_errors",
        "Images whose loss could not be had from a black box, with the reason. They are tried again.",
        (
            ("model", "VARCHAR", "name of the black box"),
            ("image_id", "BIGINT", "the image"),
            ("reason", "VARCHAR", "why"),
        ),
        "model, image_id",
    ),
    Table(
        "metadata",
        "The user's own columns, added as sources and losses files bring them.",
        (("image_id", "BIGINT", "the image"),),
        "image_id",
    ),
)
