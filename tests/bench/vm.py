"""Seconds per phase of `azure vm docker create`, the image in the cache. BERTH_BIN names the folder of the programs."""
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import berth  # noqa: E402


def say(what, value):
    print(f"{what:<56} {value}", flush=True)


def main():
    world = berth.World(quiet=True)
    try:
        began = time.perf_counter()
        out = world.create("bench", "--cold").stdout
        say("azure vm docker create --cold --wait, image in the cache", f"{time.perf_counter() - began:.1f} s")
        for line in out.splitlines():
            if line.endswith(" s)"):
                say("  " + line[9:].rsplit(" (", 1)[0], line.rsplit("(", 1)[1].rstrip(")"))
    finally:
        world.close()


if __name__ == "__main__":
    main()
