"""How a table's file ends: the size of its footer, and the number in the footer's last 8 bytes.

Alone here, since telling a table from other files needs neither checksums nor compression.
"""

from __future__ import annotations

MAGIC = 0xDB4775248B80FB57
FOOTER_SIZE = 48
