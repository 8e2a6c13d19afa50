"""Uploaded files stay in memory, and no more of one than anything here can use."""

from __future__ import annotations

import io
from typing import Any

from django.core.files.uploadedfile import InMemoryUploadedFile
from django.core.files.uploadhandler import FileUploadHandler

# One byte more than what is read, so that a file that is too large is told from one that is not.
MOST_BYTES = 1_000_001


class CappedUpload(FileUploadHandler):
    """Keeps the first megabyte and counts the rest: nothing is ever written to a disk, and a file
    of any size costs the same memory. `size` of the file is the whole one."""

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        self.kept = io.BytesIO()

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:  # noqa: ARG002  # Django asks so
        room = MOST_BYTES - self.kept.tell()
        if room > 0:
            self.kept.write(raw_data[:room])

    def file_complete(self, file_size: int) -> InMemoryUploadedFile:
        self.kept.seek(0)
        return InMemoryUploadedFile(
            file=self.kept,
            field_name=self.field_name,
            name=self.file_name,
            content_type=self.content_type,
            size=file_size,
            charset=self.charset,
            content_type_extra=self.content_type_extra,
        )
