r"""Reading log files as records with exact bytes: gzip or plain, resumable, rotated, torn.

Rules: bytes only, nothing is decoded here. A record is a line (or, with `Quoted`, several lines held together by double quotes)
without its newline (`\n` or `\r\n`); a byte-order mark at the start of a file is no part of the first record; other bytes pass.
Positions stand after the last record that ended in a newline. A last record without one is given out at the end of a normal read
and *not* passed: read again it is either the same bytes (intake knows them) or the whole record, so it is neither lost nor doubled.
While following, it is held back until its newline comes. A line longer than the limit never lies in memory whole: `cut_record`.
"""

from custodes.lines.content import HEAD, first_lines, read_head
from custodes.lines.follow import read_lines
from custodes.lines.framing import KEPT, LIMIT, Quoted, cut_record

__all__ = ["HEAD", "KEPT", "LIMIT", "Quoted", "cut_record", "first_lines", "read_head", "read_lines"]
