"""What the lint checks share: which files there are, and how findings are shown."""

import pathlib
import sys

SOURCE_FOLDERS = ("include", "src", "tests")
CPP_SUFFIXES = {".cpp", ".hpp", ".cu", ".cuh"}
IGNORED = {".git", ".venv", ".venv-test", "build", "runs", "__pycache__"}


def cpp_files(root, folders=SOURCE_FOLDERS):
    for folder in folders:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in CPP_SUFFIXES:
                yield path


def finish(findings, checked):
    """Prints the findings and ends with the status that ctest looks at. A check that saw no file has not passed."""
    for finding in findings:
        print(finding)
    print(f"{checked} files checked, {len(findings)} findings")
    sys.exit(1 if findings or not checked else 0)


def root_from_arguments():
    return pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve()
