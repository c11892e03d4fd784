"""Open files without end."""

kept = []
try:
    while True:
        kept.append(open("/dev/null"))
except OSError:
    print("LEAK" if len(kept) > 1000 else "limited")
