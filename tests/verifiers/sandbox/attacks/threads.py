"""Start small threads without end."""

import threading
import time

threading.stack_size(32768)
started = 0
try:
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        started += 1
except (RuntimeError, MemoryError):
    print("LEAK" if started > 200 else "limited", started)
