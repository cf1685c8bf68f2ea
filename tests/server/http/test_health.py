"""What probes, scrapes and operators are told, and what they are not."""

from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest

from pinwarden_server import metrics, problems
from pinwarden_server.app import create_app
from pinwarden_server.fetch_counter import FetchCounter
from pinwarden_server.installation import init_production
from pinwarden_server.node import open_node
from pinwarden_server.restore import set_floors
from pinwarden_server.site import Act
from pinwarden_server.store.copying import Floor, unsettle
from tests.server.http.conftest import Clock, Service

TOKEN = "a-token-for-the-scraper-alone"


@pytest.fixture
def scraped(installation, serve):
    """A service with a metrics token."""
    file = installation.folder / "metrics.token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    return serve(installation, metrics_token_file=file)


def sample(text: str, name: str) -> float:
    """Return the value of one series of an exposition."""
    (line,) = [line for line in text.splitlines() if line.rpartition(" ")[0] == name]
    return float(line.rpartition(" ")[2])


def test_livez_says_that_the_process_answers_and_no_more(shared):
    answer = shared.client.get("/livez")
    assert (answer.status_code, answer.json) == (200, {"alive": True})


def test_readyz_has_a_word_for_each_component(shared):
    answer = shared.client.get("/readyz")
    components = {"reads": "ok", "store": "ok", "signers": "ok", "floors": "ok", "renewal": "not running"}
    assert (answer.status_code, answer.json) == (200, {"ready": True, "publishing": True, "components": components})


def test_a_server_without_a_root_is_alive_and_not_ready(tmp_path, serve):
    service = serve(init_production(tmp_path / "server", bind=None, root_json=None, now=datetime.now(UTC)))
    answer = service.client.get("/readyz")
    components = {
        "reads": "nothing published",
        "store": "ok",
        "signers": "ok",
        "floors": "ok",
        "renewal": "not running",
    }
    assert service.client.get("/livez").status_code == 200
    assert (answer.status_code, answer.json) == (503, {"ready": False, "publishing": False, "components": components})
    assert service.ask("GET", "/admin/v1/roots").json == {"roots": []}
    assert service.ask("GET", "/statusz").json["root"] is None
    assert "pinwarden_root_version" not in service.ask("GET", "/metrics").text
    refused = service.ask("PUT", "/admin/v1/pinsets/payments", body=service.draft(), If_None_Match="*")
    assert service.problem(refused, 409, "conflict")["detail"] == (
        "no root is published. Nothing stored has changed. Run `pinwarden server init FOLDER --root root.json`."
    )


def test_readyz_tells_that_nothing_can_be_published_without_the_store_or_the_keys(service, serve):
    service.create()
    database = service.installation.folder / "pinwarden.db"
    database.rename(database.with_suffix(".away"))
    away = service.client.get("/readyz")
    database.with_suffix(".away").rename(database)
    assert (away.status_code, away.json["ready"], away.json["publishing"]) == (200, True, False)
    assert away.json["components"]["store"] == "away"
    keyless = serve(service.installation, signers=()).client.get("/readyz").json
    assert (keyless["publishing"], keyless["components"]["signers"]) == (False, "none open")


def test_statusz_shows_every_expiry_and_the_reason_of_trouble(service):
    service.create()
    shown = service.ask("GET", "/statusz").json
    now = service.clock.now.replace(microsecond=0)
    assert shown["pinsets"] == [
        {
            "name": "payments",
            "version": "1.1",
            "expires": spelt(now + timedelta(days=30)),
            "timestamp_version": 1,
            "timestamp_expires": spelt(now + timedelta(days=3)),
        }
    ]
    assert (shown["now"], shown["store_trouble"]) == (spelt(now), None)
    assert (shown["root"]["version"], len(shown["signers"])) == (1, 2)
    assert shown["last_renewal_of_this_worker"] is None


def test_statusz_gives_the_reason_that_readyz_keeps_to_itself(scraped):
    database = scraped.installation.folder / "pinwarden.db"
    database.rename(database.with_suffix(".away"))
    shown = scraped.ask("GET", "/statusz", token=TOKEN)
    assert shown.json["store_trouble"].startswith("the database cannot be used: unable to open database file")
    assert "unable to open" not in scraped.client.get("/readyz").text
    database.with_suffix(".away").rename(database)


def test_statusz_says_why_no_key_is_open_and_what_follows_the_repair(installation):
    key = installation.key("timestamp")
    key.rename(key.with_suffix(".away"))
    node = open_node(installation.settings())
    service = Service(
        installation, create_app(node.settings, node=node), Clock(), installation.admin_token.read_text().strip()
    )
    shown = service.ask("GET", "/statusz").json
    assert shown["components"]["signers"] == "none open"
    assert shown["signers_trouble"] == (
        f"key file {key} cannot be read: No such file or directory. Put it back from your copy. When a key is lost for "
        "good, see 'Lost keys' in docs/incidents.md. What is published is served on. Restart the server once this is "
        "mended: keys are read at its start."
    )
    node.stop()


def test_every_component_of_readyz_is_a_metric_that_an_alert_can_watch(service, serve):
    lines = serve(service.installation, signers=()).ask("GET", "/metrics").text.splitlines()
    told = {line.split('"')[1]: line.split()[1] for line in lines if line.startswith("pinwarden_component_ok{")}
    assert told == {"reads": "1.0", "store": "1.0", "signers": "0.0", "floors": "1.0", "renewal": "0.0"}


def test_the_metrics_token_opens_metrics_and_status_alone_and_needs_no_database(scraped):
    database = scraped.installation.folder / "pinwarden.db"
    database.rename(database.with_suffix(".away"))
    assert [scraped.ask("GET", path, token=TOKEN).status_code for path in ("/metrics", "/statusz")] == [200, 200]
    scraped.problem(scraped.ask("GET", "/metrics"), 503, "store-unavailable")  # an API token has to be looked up
    database.with_suffix(".away").rename(database)
    for path in ("/admin/v1/pinsets", "/admin/v1/audit", "/admin/v1/tokens"):
        scraped.problem(scraped.ask("GET", path, token=TOKEN), 401, "unauthenticated")
    for wrong in (TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "", f"{TOKEN}, x"):
        scraped.problem(scraped.ask("GET", "/metrics", Authorization=f"Bearer {wrong}"), 401, "unauthenticated")
    scraped.problem(scraped.ask("GET", "/metrics", Authorization=TOKEN), 401, "unauthenticated")


def test_a_rotated_metrics_token_holds_at_once(scraped):
    file = scraped.node.settings.metrics_token_file
    file.write_text("another-token\n")
    assert scraped.ask("GET", "/metrics", token="another-token").status_code == 200
    scraped.problem(scraped.ask("GET", "/metrics", token=TOKEN), 401, "unauthenticated")


@pytest.mark.parametrize("trouble", ["missing", "empty", "open to others"])
def test_a_metrics_token_that_cannot_be_trusted_opens_nothing_and_its_path_is_not_told(scraped, trouble: str):
    file = scraped.node.settings.metrics_token_file
    if trouble == "missing":
        file.unlink()
    elif trouble == "empty":
        file.write_text("\n")
    else:
        file.chmod(0o644)
    for token in (TOKEN, "", scraped.admin):
        document = scraped.problem(scraped.ask("GET", "/metrics", token=token), 503, "store-unavailable")
        assert document["detail"].startswith("the metrics token cannot be read. ")
        assert str(file) not in str(document)


def test_metrics_count_publications_problems_and_renewals_by_outcome(service):
    before = service.ask("GET", "/metrics").text
    etag = service.create()
    ask = {"body": service.draft("n", "m"), "If_Match": etag, "Idempotency_Key": "once"}
    for _ in range(2):
        service.ask("PUT", "/admin/v1/pinsets/payments", **ask)
    service.ask("PUT", "/admin/v1/pinsets/payments", body=service.draft("x", "y"), If_Match=etag)
    service.ask("PUT", "/admin/v1/pinsets/payments", body=service.draft("alone"), If_Match='"1.2"')
    service.clock.advance(days=2)
    assert service.node.renewer.tick().renewed == ("payments",)
    after = service.ask("GET", "/metrics").text

    def grown(name: str) -> float:
        was = sample(before, name) if f"\n{name} " in before else 0.0
        return sample(after, name) - was

    assert {name: grown(f'pinwarden_publishes_total{{outcome="{name}"}}') for name in OUTCOMES} == OUTCOMES
    assert grown('pinwarden_problems_total{kind="stale-version"}') == 1
    assert grown('pinwarden_problems_total{kind="lint-refused"}') == 1
    assert grown('pinwarden_renewals_total{outcome="renewed"}') == 1
    assert sample(after, "pinwarden_renewal_success_timestamp_seconds") == service.clock.now.timestamp()


OUTCOMES = {"published": 2, "replayed": 1, "stale": 1, "refused": 1}


def test_metrics_show_every_time_to_expiry_and_it_runs_out(service):
    service.create()
    service.clock.now = service.clock.now.replace(microsecond=0)
    before = service.ask("GET", "/metrics")
    service.clock.advance(days=4)
    after = service.ask("GET", "/metrics").text
    assert before.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    day = 86_400
    for series, days in (
        ('pinwarden_pinset_expiry_seconds{name="payments"}', 30),
        ('pinwarden_timestamp_expiry_seconds{name="payments"}', 3),
        ("pinwarden_root_expiry_seconds", 365),
    ):
        assert sample(before.text, series) == pytest.approx(days * day, abs=60)  # the root is a moment older
        assert sample(after, series) == pytest.approx((days - 4) * day, abs=60)
    assert sample(after, 'pinwarden_pinset_version{name="payments"}') == 1
    assert sample(after, 'pinwarden_pinset_epoch{name="payments"}') == 1
    assert sample(after, "pinwarden_root_version") == 1


@pytest.mark.parametrize(
    ("held", "label"),
    [
        (None, "none"),
        ("1.7", "current"),
        ("1.6", "1"),
        ("1.5", "2-5"),
        ("1.2", "2-5"),
        ("1.1", "6+"),
        ("1.8", "newer"),
        ("0.9", "older-epoch"),
        ("2.1", "newer"),
        ("", "other"),
        ("nonsense", "other"),
        ("1", "other"),
        ("1.2.3", "other"),
        ("9" * 4000, "other"),
        ('1.1"} 1\npinwarden_x 1', "other"),
    ],
)
def test_a_client_can_choose_the_label_of_its_lag_only_among_a_few(held: str | None, label: str):
    counter = FetchCounter()
    series = metrics.FETCHES.labels("lag", label)._value
    before = series.get()
    counter("/v1/bundles/lag/1", "1.7", held)
    counter.hand_on()
    counter.hand_on()
    assert series.get() == before + 1


def test_no_fetch_is_lost_or_counted_twice_while_the_counts_are_handed_on():
    counter, series = FetchCounter(), metrics.FETCHES.labels("busy", "none")._value
    begun = Barrier(5)

    def fetch() -> None:
        begun.wait()
        for _ in range(20_000):
            counter("/v1/bundles/busy/1", "1.7", None)

    threads = [Thread(target=fetch) for _ in range(4)]
    for thread in threads:
        thread.start()
    begun.wait()
    while any(thread.is_alive() for thread in threads):
        counter.hand_on()
    counter.stop()
    assert series.get() == 80_000


def test_no_request_can_make_a_label_of_its_own(shared):
    odd = 'x"} 1\npinwarden_made_up 1\n#'
    shared.ask("GET", f"/admin/v1/pinsets/{'z' * 300}", Pinwarden_Held="zzz")
    shared.ask("GET", "/v1/bundles/zzzzz/1", Pinwarden_Instance="zzz")
    shared.ask("ZZZ", "/admin/v1/pinsets")
    shared.ask("GET", "/admin/v1/pinsets", token=odd.replace("\n", ""))
    text = shared.ask("GET", "/metrics").text
    assert "zzz" not in text
    assert "made_up" not in text
    kinds = {line.split('"')[1] for line in text.splitlines() if line.startswith("pinwarden_problems_total{")}
    assert kinds <= {kind.slug for kind in vars(problems).values() if isinstance(kind, problems.Kind)}


def test_nothing_secret_is_among_the_metrics(service):
    service.create()
    text = service.ask("GET", "/metrics").text
    made = service.installation
    for secret in (service.admin, made.passphrase.read_text().strip(), str(made.folder)):
        assert secret not in text


def spelt(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_readyz_tells_that_a_restored_store_waits_for_floors_and_no_longer_once_they_are_set(service, serve):
    with service.node.site.store.writer.transaction() as transaction:
        unsettle(transaction)
    waiting = serve(service.installation).client.get("/readyz")
    assert (waiting.status_code, waiting.json["components"]["floors"]) == (200, "missing")
    set_floors(service.node.site.store, {"*": Floor(7, 7)}, Act("tester", service.clock.now))
    assert serve(service.installation).client.get("/readyz").json["components"]["floors"] == "ok"
