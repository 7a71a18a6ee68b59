"""The Python of README.md runs, on the bundled model."""
import os
import re

import files
from conftest import KJV, run


def test_every_python_block_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    with open(os.path.join(files.ROOT, "README.md"), encoding="utf-8") as file:
        blocks = re.findall(r"^```python\n(.*?)^```$", file.read(), re.M | re.S)
    assert blocks
    monkeypatch.chdir(tmp_path)
    run("compress", f"{KJV}/hf", "-o", "kjv.lort", "-q")
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "39 tensors" in printed and "BF16 (" in printed and "\n3 " in printed
