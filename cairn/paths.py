"""Where each part keeps its files under the data directory."""

from pathlib import Path


class Paths:
    def __init__(self, data_dir: Path) -> None:
        self.metadata = data_dir / "cairn.db"
        self.log = data_dir / "log" / "collect.db"
        self.log_end = data_dir / "log" / "collect.db.tail"  # written at every append
        self.loading = data_dir / "log" / "loading"  # what is being loaded; after a crash, what it was over
        self.set_aside = data_dir / "log" / "set-aside"  # requests that stopped the core
        self.members = data_dir / "members"
        self.store = data_dir / "store"
        self.core_socket = data_dir / "core.sock"
        self.temporary = data_dir / "temporary"  # emptied at every start of the core
