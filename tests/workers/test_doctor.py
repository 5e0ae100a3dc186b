"""What `towpath doctor` says of GitHub when our clock or our key is wrong."""

from pathlib import Path

from service.demo.simulator.tokens import Keys
from service.github.app_auth import AppTokens
from service.settings import Settings
from tests.github.conftest import Edge
from workers.doctor import _judged
from workers.platforms.process.doctor import Check


async def asked(edge: Edge, tmp_path: Path, *, key: str) -> Check:
    file = tmp_path / "app.pem"
    file.write_text(key)
    settings = Settings(data=tmp_path, github_app_id=str(edge.sim.app_id), github_private_key_file=file)
    app = AppTokens.load(transport=edge.transport, app_id=str(edge.sim.app_id), key_file=file)
    return await _judged(settings, edge.transport, app, "from the file")


async def test_it_is_told_by_how_much_the_clock_is_wrong_and_how_to_set_it(edge: Edge, tmp_path: Path) -> None:
    edge.sim.advance(3610)
    check = await asked(edge, tmp_path, key=edge.sim.private_key_pem)
    assert not check.ok
    assert (
        "it knows App 4711, from the file, as Towpath, but this machine's clock differs from GitHub's by 36"
        in check.why
    )
    assert "timedatectl set-ntp true" in check.advice


async def test_it_is_told_that_the_key_is_wrong(edge: Edge, tmp_path: Path) -> None:
    check = await asked(edge, tmp_path, key=Keys.create(1).private_key_pem)
    assert not check.ok
    assert "GitHub does not accept the App's id and key" in check.why
    assert "clock" not in check.why


async def test_all_is_well_when_github_knows_the_app(edge: Edge, tmp_path: Path) -> None:
    check = await asked(edge, tmp_path, key=edge.sim.private_key_pem)
    assert (check.ok, check.why) == (True, "it knows App 4711, from the file, as Towpath")
