"""Leave a tree too deep for recursion, and a folder that cannot be entered."""

import os

for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
open("last", "w").close()
os.chdir("/tmp")
os.mkdir("locked")
open("locked/file", "w").close()
os.chmod("locked", 0)
print("made")
