"""The store: records in a folder, one JSON file per run, with its arrays beside it. Nothing is ever unpickled."""

from leakybench.store.arrays import MAX_ARRAY_BYTES, check_directory, decode_arrays, encode_arrays, load_arrays
from leakybench.store.errors import ConflictError, DamagedError, DamagedFile, NewerSchemaError
from leakybench.store.files import open_file, read_file, read_tail
from leakybench.store.folder import MAX_LOG_BYTES, QUARANTINE, RUN_FILE, Store
from leakybench.store.hashes import content_hash, intact, seal
from leakybench.store.reading import decode, encode, storable
from leakybench.store.schema import MAX_RECORD_BYTES

__all__ = [
    "MAX_ARRAY_BYTES",
    "MAX_LOG_BYTES",
    "MAX_RECORD_BYTES",
    "QUARANTINE",
    "RUN_FILE",
    "ConflictError",
    "DamagedError",
    "DamagedFile",
    "NewerSchemaError",
    "Store",
    "check_directory",
    "content_hash",
    "decode",
    "decode_arrays",
    "encode",
    "encode_arrays",
    "intact",
    "load_arrays",
    "open_file",
    "read_file",
    "read_tail",
    "seal",
    "storable",
]
