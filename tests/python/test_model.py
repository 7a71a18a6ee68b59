"""lort.open: values, rows, names, metadata, views, closed handles."""
import gc
import os
import pickle
import shutil
import sys
import threading

import numpy as np
import pytest

import files
import lort
from conftest import run

PLAIN_MODELS = ["gguf", "hf", "tuned", "types"]


def mapped_ranges(path):
    """The addresses at which this process maps a file."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        lines = [line.split(None, 5) for line in maps if line.rstrip("\n").endswith(os.path.realpath(path))]
    return [tuple(int(end, 16) for end in line[0].split("-")) for line in lines]


def is_mapped(array, path):
    address = array.__array_interface__["data"][0]
    return any(low <= address and address + array.nbytes <= high for low, high in mapped_ranges(path))


# ---- values ----

def test_containers_equal_what_restore_writes(container):
    with lort.open(container.path, base=container.base) as model:
        assert list(model) == list(container.tensors)
        for name, tensor in container.tensors.items():
            if tensor[0].startswith("F8"):
                continue  # the tests have no decoder; test_f8 compares with the command
            assert files.same(model[name], files.expected(*tensor)), name
            info = model.info(name)
            assert info.shape == tensor[1] and (not info.kept or info.dtype == tensor[0])


@pytest.mark.parametrize("name", PLAIN_MODELS + ["quantised"])
def test_models_equal_their_files(models, name):
    path = getattr(models, name)
    tensors = files.read_model(path)
    with lort.open(path) as model:
        assert list(model) == list(tensors) and len(model) == len(tensors)
        for key, (dtype, shape, data) in tensors.items():
            if not dtype.startswith("F8"):
                assert files.same(model[key], files.expected(dtype, shape, data)), key
            assert model.info(key).dtype == dtype and model.info(key).bytes == len(data) and model.info(key).kept


def test_the_bundled_model_and_its_layers():
    with lort.open(os.path.join(files.ROOT, "tests/data/kjv-3m/kjv-3m-f16.gguf")) as model:
        found = [(number, list(arrays)) for number, arrays in lort.iter_layers(model)]
        assert [number for number, _ in found] == [None, 0, 1, 2, 3] or sorted({n for n, _ in found if n is not None}) == [0, 1, 2, 3]
        assert sorted(name for _, names in found for name in names) == sorted(model)


def test_f8_of_a_container_equals_that_of_the_model(models, make_container):
    with lort.open(models.types) as model, lort.open(make_container("lossless").path) as container:
        codes = model.read("f8", None)
        assert codes.dtype == np.uint8 and codes.shape == (16,)
        by_hand = [(-1)**(c >> 7) * (2**(c >> 3 & 15) / 128 * (1 + (c & 7) / 8) if c >> 3 & 15 else (c & 7) / 512) for c in map(int, codes)]
        assert files.same(model["f8"], np.array(by_hand, "f4").reshape(4, 4))
        assert files.same(container["f8"], model["f8"])


# ---- rows ----

@pytest.mark.parametrize("name", ["integers", "factored", "ternary", "shards", "difference-integers"])
def test_rows_are_those_of_the_whole(make_container, name):
    made = make_container(name)
    with lort.open(made.path, base=made.base) as model:
        for key in model:
            whole, info = model[key], model.info(key)
            assert info.rows * info.cols == whole.size
            flat = whole.reshape(info.rows, info.cols)
            for start, stop in {(0, info.rows), (info.rows // 3, info.rows // 2), (info.rows - 1, info.rows), (0, 0)}:
                assert files.same(model.rows(key, start, stop), flat[start:stop]), (key, start, stop)
            assert files.same(model.rows(key, info.rows // 2), flat[info.rows // 2:])


def test_rows_are_counted_slice_after_slice(models):
    with lort.open(models.types) as model:
        assert model.info("a.I16").rows == 6 and model.info("a.I16").cols == 4
        assert files.same(model.rows("a.I16", 2, 5), model["a.I16"].reshape(6, 4)[2:5])
        assert model.rows("scalar").shape == (1, 1) and model["scalar"].shape == ()
        assert model["empty"].shape == (0, 7) and model["empty.bf16"].shape == (3, 0)
        assert model.rows("empty").shape[0] == 0


@pytest.mark.parametrize("rows", [(-1, 1), (0, 7), (3, 2), (7, None)])
def test_rows_that_do_not_exist(models, rows):
    with lort.open(models.types) as model, pytest.raises(IndexError, match="a.I16.*6"):
        model.rows("a.I16", *rows)


# ---- read ----

@pytest.mark.parametrize("name", ["integers", "ternary", "shards"])
def test_read_in_other_types(make_container, name):
    with lort.open(make_container(name).path) as model:
        for key in model:
            whole = model.read(key)
            assert whole.dtype == np.float32
            assert files.same(whole, model[key].astype("f4"))
            assert files.same(model.read(key, "F16"), whole.astype("f2"))
            bits = whole.view("u4").astype("u8")
            rounded = (bits + 0x7FFF + (bits >> 16 & 1) >> 16).astype("u2")
            assert files.same(model.read(key, "BF16"), rounded)


def test_read_gives_the_original_bytes(models, make_container):
    for path, tensors in ((models.quantised, files.read_model(models.quantised)), (make_container("quantised").path, files.read_model(models.quantised)),
                          (make_container("lossless").path, files.read_model(models.types))):
        with lort.open(path) as model:
            for key, (dtype, shape, data) in tensors.items():
                own = model.read(key, None)
                assert own.tobytes() == data and own.shape == (shape if dtype in files.PLAIN else (len(data),)), key


@pytest.mark.parametrize("name", ["integers", "shards", "ternary"])
def test_read_gives_what_restore_writes(make_container, tmp_path, name):
    made = make_container(name)
    run("restore", made.path, "-o", tmp_path / f"own{made.suffix}", "-q")
    with lort.open(made.path) as model:
        for key, (dtype, _, data) in files.read_model(tmp_path / f"own{made.suffix}").items():
            assert model.read(key, None).tobytes() == data and model.info(key).own_dtype == dtype, key
            assert model.info(key).own_bytes == len(data)


def test_read_into_a_buffer(make_container):
    with lort.open(make_container("integers").path) as model:
        name = "blk.0.attn_q.weight"
        out = np.empty(model.info(name).shape, "f4")
        got = model.read(name, out=out)
        assert np.shares_memory(got, out) and files.same(out, model[name])
        room = bytearray(out.nbytes // 2)
        model.read(name, "F16", out=room)
        assert bytes(room) == model.read(name, "F16").tobytes()
        for wrong, why in ((np.empty(3, "f4"), "12 bytes"), (bytes(out.nbytes), "read-only"), (np.empty(out.shape, "f8")[:, ::2], "C order")):
            with pytest.raises(ValueError, match=why):
                model.read(name, out=wrong)
        with pytest.raises(ValueError, match="'F64'"):
            model.read(name, "F64")


# ---- views ----

def test_views_share_the_memory_of_the_file(models):
    with lort.open(models.gguf) as model:
        for name in model:
            view = model[name]
            assert is_mapped(view, models.gguf) and np.shares_memory(view, model[name]), name
            assert not view.flags.writeable
            with pytest.raises(ValueError, match="read-only"):
                view[...] = 0
            assert np.shares_memory(model.rows(name), view)


def test_views_at_odd_addresses(models):
    """The tensors of this file begin behind a tensor of three bytes."""
    with lort.open(models.types) as model:
        view = model["a.F64"]
        assert is_mapped(view, models.types) and not view.flags.aligned
        assert view.sum() == np.array(view).sum()


def test_what_is_decoded_has_its_own_memory(models, make_container):
    for path, name in ((models.hf, "lm_head.weight"), (make_container("lossless").path, "a.F32"), (models.quantised, "output.weight")):
        with lort.open(path) as model:
            array = model[name]
            assert array.flags.writeable and not np.shares_memory(array, model[name])
            array[...] = 0


def test_a_view_keeps_the_file_mapped(models, tmp_path):
    path = tmp_path / "copy.gguf"
    shutil.copy(models.gguf, path)
    model = lort.open(path)
    name = list(model)[0]
    view = model[name]
    wanted = view.tobytes()
    model.close()
    del model
    gc.collect()
    assert mapped_ranges(path) and view.tobytes() == wanted
    part = view[3:]
    del view
    gc.collect()
    assert mapped_ranges(path) and part.tobytes()
    del part
    gc.collect()
    assert not mapped_ranges(path)


def test_check_tells_that_a_file_changed(models, tmp_path):
    path = tmp_path / "copy.gguf"
    shutil.copy(models.gguf, path)
    with lort.open(path) as model:
        model.check()
        os.truncate(path, 100000)
        with pytest.raises(lort.ReadError, match="copy.gguf"):
            model.check()


# ---- names ----

def test_a_mapping(models):
    with lort.open(models.gguf) as model:
        assert "output.weight" in model and "output" not in model and 7 not in model and "output.weight\0" not in model
        assert model.get("no such tensor") is None
        assert dict(model.items()).keys() == model.keys()
        for call in (model.__getitem__, model.info, model.rows, model.read):
            with pytest.raises(KeyError, match="no such tensor"):
                call("no such tensor")
        with pytest.raises(KeyError):
            model[7]


def test_values_that_c_would_cut(models):
    with lort.open(models.gguf) as model:
        assert "\ud800" not in model
        with pytest.raises(KeyError):
            model["\ud800"]
    for wrong in ({"path": f"{models.gguf}\0x"}, {"base": "a\0b"}, {"memory": 1 << 64}, {"memory": -1}, {"threads": 1 << 32}):
        with pytest.raises(ValueError):
            lort.open(**{"path": models.gguf, **wrong})
    with pytest.raises(TypeError):
        lort.open(models.gguf, memory=1.5)


def test_a_model_equals_itself_and_stays_where_it_is(models):
    with lort.open(models.gguf) as model, lort.open(models.gguf) as again:
        assert model == model and model != again and len({model, again}) == 2
        with pytest.raises(TypeError, match="open the path again"):
            pickle.dumps(model)


def test_names_that_are_no_utf8(models, tmp_path):
    path = tmp_path / "odd.gguf"
    files.gguf.write(path, [("caf\u00e9 \u2603", [32], "F32", [1.0] * 32)])
    with open(path, "r+b") as file:
        data = file.read().replace("\u00e9".encode(), b"\xe9\xe8")
        file.seek(0)
        file.write(data)
    with lort.open(path) as model:
        (name,) = model
        assert name.encode("utf-8", "surrogateescape") == b"caf\xe9\xe8 \xe2\x98\x83"
        assert model[name].sum() == 32 and name in model


# ---- metadata ----

def test_metadata_of_gguf(models, tmp_path):
    path = tmp_path / "keys.gguf"
    files.gguf.write(path, files.gguf.small(layers=1))
    wanted = files.gguf.File(str(path)).keys
    with lort.open(path) as model:
        found = model.metadata
        assert found == {**wanted, "a.flag": True}
        assert found["a.flag"] is True and type(found["a.byte"]) is int and type(found["llama.rope.freq_base"]) is float
        assert found["tokenizer.ggml.tokens"][2] == "\u00e9" and found["a.none"] == [] and found["a.big"] == -2**62
        found.clear()
        assert model.metadata == {**wanted, "a.flag": True}


def test_metadata_of_a_container(models, make_container):
    with lort.open(models.gguf) as model, lort.open(make_container("integers").path) as container:
        assert container.metadata == model.metadata and model.metadata["general.architecture"] == "llama"
    with lort.open(models.types) as model, lort.open(make_container("lossless").path) as container:
        assert container.metadata == model.metadata == {"format": "pt", "note": "h\u00e9"}


def test_metadata_of_shards(models):
    with lort.open(models.hf) as model:
        assert model.metadata == {"format": "pt"} or model.metadata == {}


# ---- open and closed ----

def test_a_closed_model(models):
    model = lort.open(models.gguf)
    name = list(model)[0]
    assert "tensors" in repr(model) and not model.closed
    model.close()
    model.close()
    assert "closed" in repr(model) and model.closed
    calls = (lambda: model[name], lambda: model.info(name), lambda: model.rows(name), lambda: model.read(name), lambda: model.metadata, lambda: len(model),
             lambda: list(model), lambda: name in model, model.check, model.__enter__)
    for call in calls:
        with pytest.raises(ValueError, match="closed"):
            call()


def test_what_cannot_be_opened(models, make_container, tmp_path):
    with pytest.raises(lort.InputError, match="no-such-file"):  # exit code 3 of the command
        lort.open(tmp_path / "no-such-file")
    (tmp_path / "text.gguf").write_text("no model")
    with pytest.raises(lort.InputError):
        lort.open(tmp_path / "text.gguf")
    with pytest.raises(lort.MemoryLimitError):
        lort.open(make_container("integers").path, memory="1M")
    with pytest.raises(lort.UsageError):
        lort.open(models.gguf, memory="many")
    with pytest.raises(ValueError):
        lort.open(models.gguf, memory=-1)
    with pytest.raises(ValueError):
        lort.open(models.gguf, threads=-1)
    with pytest.raises(TypeError):
        lort.open(models.gguf, threads="2")


def test_a_name_in_a_cache(models, tmp_path, monkeypatch):
    """offline=True: what no cache has is refused without a call of the network."""
    commit, place = "0123456789" * 4, tmp_path / "hub" / "models--some-org--one-layer"
    (place / "refs").mkdir(parents=True)
    (place / "refs" / "main").write_text(commit)
    shutil.copytree(models.hf, place / "snapshots" / commit)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with lort.open("some-org/one-layer", offline=True, spool=tmp_path) as named, lort.open(models.hf) as direct:
        names = list(direct)
        assert list(named) == names
        assert np.array_equal(named[names[0]], direct[names[0]])
    with lort.safe_open("some-org/one-layer", offline=True) as file:
        assert list(file.keys()) == sorted(names)  # as safetensors gives them
    with pytest.raises(lort.InputError, match="some-org/other"):
        lort.open("some-org/other", offline=True)


def test_a_difference_needs_its_base(models, make_container):
    made = make_container("difference")
    with pytest.raises(lort.UsageError, match="base"):
        with lort.open(made.path) as model:
            model[list(model)[0]]
    with pytest.raises(lort.InputError):
        with lort.open(made.path, base=models.tuned) as model:
            model[list(model)[0]]


def test_a_damaged_container(make_container, tmp_path):
    data = bytearray(make_container("integers").path.read_bytes())
    path = tmp_path / "damaged.lort"
    for at in range(len(data) // 4, len(data) // 4 + 64):
        data[at] ^= 255
    path.write_bytes(data)
    with pytest.raises(lort.DamagedError) as caught:
        with lort.open(path) as model:
            for name in model:
                model[name]
    assert caught.value.code == 8
    assert caught.value.file == str(path) and caught.value.tensor in str(caught.value)


def test_a_limit_of_memory(make_container):
    with lort.open(make_container("integers").path, memory="64M", threads=1) as model:
        assert model["output.weight"].shape == model.info("output.weight").shape


# ---- threads, layers ----

def test_many_threads_on_one_model(make_container):
    made = make_container("integers")
    wrong = []
    with lort.open(made.path) as model:
        def work(names):
            for name in names:
                if not files.same(model[name], files.expected(*made.tensors[name])):
                    wrong.append(name)
        names = list(model)
        threads = [threading.Thread(target=work, args=(names[i:] + names[:i],)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_close_while_others_read(make_container):
    """A call that has begun ends well; later ones raise ValueError."""
    for _ in range(5):
        model, started = lort.open(make_container("integers").path), threading.Event()
        ends = []

        def work():
            try:
                while True:
                    started.set()
                    model["token_embd.weight"]
            except ValueError as why:
                ends.append(str(why))
        thread = threading.Thread(target=work)
        thread.start()
        started.wait()
        model.close()
        thread.join()
        assert ends and "closed" in ends[0]


def test_layers_in_the_order_of_the_file(tmp_path):
    names = ["embed", "layers.0.a", "norm0", "layers.1.a", "layers.0.b", "decoder.layers.0.a", "x", "layers.10.a", "y", "layers.1.b", "z"]
    path = tmp_path / "layers.safetensors"
    files.write_safetensors(path, {name: ("F32", [1], np.float32(i).tobytes()) for i, name in enumerate(names)})
    with lort.open(path) as model:
        found, alive = [], []
        for number, arrays in lort.iter_layers(model):
            found.append((number, list(arrays)))
            assert all(not earlier for earlier in alive), "the arrays of an earlier layer are alive"
            alive.append(arrays)
    assert found == [(None, ["embed"]), (0, ["layers.0.a", "layers.0.b"]), (None, ["norm0"]), (1, ["layers.1.a", "layers.1.b"]),
                     (0, ["decoder.layers.0.a"]), (None, ["x"]), (10, ["layers.10.a"]), (None, ["y", "z"])]


def test_one_layer_at_a_time_is_in_memory(models):
    with lort.open(models.hf) as model:
        layers = lort.iter_layers(model)
        _, arrays = next(layers)
        first = next(iter(arrays.values()))
        assert sys.getrefcount(first) == 3  # the dictionary, `first`, and the argument
        next(layers)
        assert sys.getrefcount(first) == 2
