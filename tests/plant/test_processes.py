from triggerfish.plant.processes import Processes, processes


def test_each_process_takes_its_share_and_all_together_the_batch():
    batch = [5, 3, 8, 1, 9]
    shares = [Processes(rank=rank, local=rank, count=2).share(batch) for rank in range(2)]
    assert shares == [[5, 8, 9], [3, 1]]
    assert Processes().share(batch) == batch
    assert Processes(rank=2, local=2, count=3).share([7, 4]) == [7]  # never nothing


def test_the_launcher_says_which_process_it_is(monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    assert processes() == Processes()
    for name, value in {"RANK": "3", "LOCAL_RANK": "1", "WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert processes() == Processes(rank=3, local=1, count=4)
    assert not processes().first
    monkeypatch.setenv("RANK", "x")
    assert processes().count == 1


def test_a_device_that_was_asked_for_stays():
    assert Processes(rank=1, local=1, count=2).device("cpu") == "cpu"
    assert Processes().device("auto") == "auto"
