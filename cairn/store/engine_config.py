"""How much of the machine the embedded engine may take: its configuration file, written before it opens.

The engine's own defaults suit a server that has the machine to itself (5 GB of caches, nine tenths of the memory).
"""

import os
from pathlib import Path

FILE = "engine.xml"
# Inserts, merges, the dictionary and the process itself, next to one largest question.
BESIDES_QUESTIONS_MB = 512

_CACHES = {
    "mark_cache_size": 64 << 20,  # bytes; marks of ~100 M rows fit
    "index_mark_cache_size": 16 << 20,
    "primary_index_cache_size": 64 << 20,
    "query_condition_cache_size": 16 << 20,
    "compiled_expression_cache_size": 16 << 20,
    "unique_key_index_cache_size_bytes": 1 << 20,
    "parquet_metadata_cache_size": 1 << 20,
    "iceberg_metadata_files_cache_size": 1 << 20,
    "vector_similarity_index_cache_size": 1 << 20,
    "text_index_tokens_cache_size": 1 << 20,
    "text_index_header_cache_size": 1 << 20,
    "text_index_postings_cache_size": 1 << 20,
}
_THREADS = {
    "background_pool_size": 2,
    "background_common_pool_size": 1,
    "background_schedule_pool_size": 2,
    "max_thread_pool_size": 400,
    "max_io_thread_pool_size": 16,
    "load_marks_threadpool_pool_size": 8,
    "prefetch_threadpool_pool_size": 8,
    "threadpool_local_fs_reader_pool_size": 16,
    "threadpool_writer_pool_size": 8,
}
# How often old parts are looked for that may go. The engine waits up to 5 minutes when it found few, which is long for
# the files of a user who asked to be deleted.
_CLEANUP = {  # s
    "cleanup_delay_period": 5,
    "max_cleanup_delay_period": 5,
    "cleanup_delay_period_random_add": 0,
}


def write_engine_config(folder: Path, *, memory_mb: int) -> Path:
    """Rewrite the file, so that a changed setting takes effect at the next start; return its path."""
    values = {"max_server_memory_usage": (memory_mb + BESIDES_QUESTIONS_MB) << 20, **_CACHES, **_THREADS}
    lines = [f"  <{name}>{value}</{name}>" for name, value in values.items()]
    cleanup = "".join(f"<{name}>{value}</{name}>" for name, value in _CLEANUP.items())
    lines.append(f"  <merge_tree>{cleanup}</merge_tree>")
    path, text = folder / FILE, "\n".join(["<clickhouse>", *lines, "</clickhouse>", ""])
    if not path.exists() or path.read_text() != text:  # else a full disk would keep the core from starting
        unfinished = path.with_suffix(".new")
        unfinished.write_text(text)
        os.replace(unfinished, path)
    return path
