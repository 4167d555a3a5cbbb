"""Headless Chromium, when it is installed."""

import shutil
import subprocess

import pytest

needs_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="no chromium here; apt-get install chromium"
)


def chromium(profile, *words, timeout_s=120):
    """Run headless Chromium without any network of its own; return what it printed."""
    return subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
         "--no-first-run", "--disable-background-networking", "--disable-component-update",
         "--disable-sync", f"--user-data-dir={profile}", *words],
        capture_output=True, text=True, timeout=timeout_s, check=False,
    )  # fmt: skip


def rendered(url, profile, *, wait_ms=20_000, width=1400):
    """Return the page's DOM after its scripts have run."""
    done = chromium(
        profile,
        f"--window-size={width},900",
        f"--virtual-time-budget={wait_ms}",
        "--dump-dom",
        url,
    )
    return done.stdout
