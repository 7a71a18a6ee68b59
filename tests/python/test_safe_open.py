"""lort.safe_open, lort.load_file and lort.torch."""
import itertools
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

import files
import lort
from lort._safe import rows_of

INDICES = [..., 0, -1, slice(None), slice(1, 2), slice(None, None, 2), slice(None, None, -1), slice(3, 1), slice(5, 99), slice(-2, None), slice(4, None, -3)]


def of(shape):
    """Indices that suit a tensor of a shape, and some that do not."""
    single = INDICES
    pairs = [pair for pair in itertools.product(INDICES, INDICES[1:])] if len(shape) > 1 else []
    triples = [(0, slice(1, 3), 2), (1, 2, slice(None, None, 2)), (slice(None), 1), (..., 1), (1, ..., 3), (0, 1, 2), (slice(0, 2), 2, -1), (0, ..., 1, 2)] if len(shape) > 2 else []
    return [*single, *pairs, *triples, ()]


@pytest.mark.parametrize("name", ["a.I16", "a.F32", "a.F64", "a.bool", "bf16", "scalar", "empty", "empty.bf16"])
def test_slices_are_those_of_numpy(models, make_container, name):
    for path in (models.types, make_container("lossless").path):
        with lort.safe_open(path, framework="np") as file, lort.open(models.types) as model:
            part, whole = file.get_slice(name), model[name]
            assert part.get_shape() == list(whole.shape)
            for index in of(whole.shape):
                try:
                    wanted = np.array(whole[index])
                except IndexError:
                    with pytest.raises(IndexError):
                        part[index]
                    continue
                assert files.same(part[index], wanted), index


def test_slices_of_what_is_coded(make_container):
    made = make_container("integers")
    with lort.safe_open(made.path) as file:
        for name, tensor in made.tensors.items():
            whole = files.expected(*tensor)
            for index in (slice(3, 9), (..., 1), -1, (slice(None, None, 5), slice(2, 4))) if whole.ndim > 1 else (slice(3, 9), -1):
                assert files.same(file.get_slice(name)[index], np.array(whole[index]))


@pytest.mark.parametrize("index, rows", [(..., (0, 6)), (1, (3, 6)), ((0, 2), (2, 3)), ((slice(None), 1), (0, 6)), ((1, slice(0, 2), 1), (3, 5)),
                                         ((slice(-1, None), 0), (3, 6)), ((0, slice(None, None, -2)), (0, 3)), ((1, slice(2, None, -5)), (5, 6)),
                                         (slice(1, 1), (0, 0))])
def test_a_slice_reads_the_rows_that_it_needs(index, rows):
    """The rows of a tensor of shape (2, 3, 4) that an index asks the library for."""
    assert rows_of((2, 3, 4), index)[:2] == rows


@pytest.mark.parametrize("index", [1.5, "a", None, [0, 1], np.array([0]), True])
def test_other_indices(models, index):
    with lort.safe_open(models.types) as file, pytest.raises(TypeError, match="integers, slices"):
        file.get_slice("a.I16")[index]


def test_names_types_and_metadata(models):
    with lort.safe_open(models.types, framework="numpy") as file:
        tensors = files.read_model(models.types)
        assert file.offset_keys() == list(tensors) and file.keys() == sorted(tensors)
        assert file.metadata() == {"format": "pt", "note": "h\u00e9"}
        for name, (dtype, shape, _) in tensors.items():
            assert file.get_slice(name).get_dtype() == dtype and tuple(file.get_slice(name).get_shape()) == shape
        with pytest.raises(KeyError):
            file.get_tensor("no such tensor")
        with pytest.raises(KeyError):
            file.get_slice("no such tensor")
    with pytest.raises(ValueError, match="closed"):
        file.get_tensor("bf16")
    with lort.safe_open(models.gguf) as file:
        assert file.metadata()["llama.block_count"] == str(lort.open(models.gguf).metadata["llama.block_count"])


def test_arrays_are_the_callers_own(models, make_container):
    for path in (models.types, make_container("lossless").path):
        loaded = lort.load_file(path)
        with lort.open(models.types) as model:
            assert list(loaded) == list(model)
            for name, array in loaded.items():
                assert files.same(array, np.array(model[name])), name
                assert array.flags.writeable and array.flags.aligned and array.flags.c_contiguous
                array[...] = 0
                assert array.size == 0 or not np.shares_memory(array, model[name])


def test_a_difference_with_its_base(make_container):
    made = make_container("difference")
    loaded = lort.load_file(made.path, base=made.base)
    assert all(files.same(loaded[name], files.expected(*tensor)) for name, tensor in made.tensors.items())


def test_frameworks_and_devices(models):
    with pytest.raises(ValueError, match="'jax'"):
        lort.safe_open(models.types, framework="jax")
    with pytest.raises(ValueError, match="'cuda'"):
        lort.safe_open(models.types, framework="np", device="cuda")


def test_torch_is_imported_when_it_is_used(models):
    """Nothing but the torch module of the package imports torch; without torch it says so."""
    code = ("import sys; sys.modules['torch'] = None; import lort; lort.load_file(sys.argv[1])\n"
            "try: lort.torch\nexcept ImportError: print('absent')")
    done = subprocess.run([sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}", str(models.types)], capture_output=True, text=True, check=True)
    assert done.stdout == "absent\n"


# ---- torch ----

def test_torch_has_the_types_of_the_file(models, make_container):
    torch = pytest.importorskip("torch")
    for path in (models.types, make_container("lossless").path):
        with lort.safe_open(path, framework="pt", device="cpu") as file, lort.open(models.types) as model:
            for name in model:
                info = model.info(name)
                if info.dtype == "U64" and not hasattr(torch, "uint64"):
                    with pytest.raises(TypeError, match="U64"):
                        file.get_tensor(name)
                    continue
                tensor = file.get_tensor(name)
                assert tuple(tensor.shape) == info.shape
                if info.dtype == "BF16":
                    assert tensor.dtype == torch.bfloat16
                    assert tensor.view(torch.int16).numpy().tobytes() == model.read(name, None).tobytes()
                else:
                    assert np.array_equal(tensor.numpy(), model[name])
                    assert info.dtype.startswith(("U16", "U32", "F8")) or tensor.numpy().dtype == model[name].dtype
            assert file.get_slice("bf16")[1:3, ::2].dtype == torch.bfloat16
            assert file.get_slice("bf16")[1:3, ::2].tolist() == model["bf16"][1:3, ::2].tolist()


def test_torch_load_file(models, make_container):
    torch = pytest.importorskip("torch")
    path = make_container("shards").path
    loaded = lort.torch.load_file(path, device="cpu")
    with lort.open(path) as model:
        assert list(loaded) == list(model)
        for name, tensor in loaded.items():
            assert tensor.dtype == torch.bfloat16
            assert torch.equal(tensor, torch.from_numpy(model[name]).to(torch.bfloat16))
            tensor.zero_()


def test_a_file_that_shrank_gives_no_zeros(models, tmp_path):
    path = tmp_path / "copy.safetensors"
    shutil.copy(models.types, path)
    with lort.safe_open(path) as file:
        assert file.get_tensor("a.F32").any()
        os.truncate(path, 0)
        with pytest.raises(lort.ReadError, match="shrank"):
            file.get_tensor("a.F64")
        with pytest.raises(lort.ReadError, match="shrank"):
            file.get_slice("a.I16")[1:]
