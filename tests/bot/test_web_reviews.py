"""The review over real HTTP against the running bot: the list, decisions, the way back, and who is refused."""

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from PIL import Image
from sqlalchemy import select

from snaplabel import corrections, images, labels, people, photos
from snaplabel.settings import read
from snaplabel.store import photo_key
from snaplabel.tables import Act, Correction, Label, Photo, Suspect
from tests.bot.webhouse import Json, Served, button, eventually, picture, served

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One running web chat for this file's tests."""
    home = tmp_path_factory.mktemp("reviews") / "home"
    with served(read({"SNAPLABEL_HOME": str(home)}, dotenv=home / "no.env")) as found:
        yield found


@pytest.fixture
def place(house: Served) -> Iterator[Served]:
    """The same, with nothing to review yet and an empty bell."""
    house.house.rings.clear()
    yield house
    with house.house.database.begin() as session:
        for table in (Suspect, Act, Correction):
            for row in session.scalars(select(table)):
                session.delete(row)
        for photo in session.scalars(select(Photo)):
            photo.label_id = photo.removed_at = photo.unreadable = None


@pytest.fixture
def admin(place: Served) -> Iterator[httpx.Client]:
    with place.admin() as client:
        yield client


def labelled(place: Served, seed: int, label: str = "Juventus", classifier: str = people.DEFAULT) -> int:
    """A stored photo that somebody labelled; its id."""
    prepared = images.prepare(picture((40 + seed * 37 % 200, 90, seed * 71 % 250), seed))
    place.house.store.put(photo_key(prepared.sha256), prepared.data)
    with place.house.database.begin() as session:
        classifier_id = people.make_classifier(session, classifier).id
        photo = photos.add(session, classifier_id, prepared).photo
        meant = labels.make(session, classifier_id, label)
        max_ = people.person(session, "web", "max", "Max")
        corrections.vote(session, photo, max_, meant, is_admin=False, votes_needed=0.5)
        return photo.id


def doubt(place: Served, seed: int, suggested: str | None = "Newcastle", **more: object) -> int:
    """A labelled photo that the last training suspects; its id."""
    photo_id = labelled(place, seed)
    with place.house.database.begin() as session:
        classifier_id = session.get_one(Photo, photo_id).classifier_id
        fields = {"kind": "mislabelled", "score": 1 - seed / 100, **more}
        suspect = Suspect(classifier_id=classifier_id, photo_id=photo_id, **fields)  # type: ignore[arg-type]
        suspect.suggested_id = labels.make(session, classifier_id, suggested).id if suggested else None
        session.add(suspect)
    return photo_id


def is_now(place: Served, photo_id: int) -> tuple[str | None, bool]:
    """A photo's label, and whether it was taken out."""
    with place.house.database.read() as session:
        photo = session.get_one(Photo, photo_id)
        label = session.get(Label, photo.label_id) if photo.label_id else None
        return label.name if label else None, photo.removed_at is not None


def decide(client: httpx.Client, photo_id: int, decision: str, label: str | None = None, **more: object) -> Json:
    response = client.post(f"/api/review/{photo_id}", json={"decision": decision, "label": label, **more})
    assert response.status_code == 200, response.text
    found: Json = response.json()
    return found


def test_the_list_says_what_is_doubted_and_why(place: Served, admin: httpx.Client) -> None:
    twin = labelled(place, 3, "Botafogo")
    second = doubt(place, 2, kind="twins", other_photo_id=twin)
    first = doubt(place, 1)

    found = admin.get("/api/review").json()

    assert (found["left"], [item["photo"] for item in found["items"]]) == (2, [first, second])
    assert {"Juventus", "Newcastle", "Botafogo"} <= set(found["labels"])
    assert found["items"][0] == {
        "photo": first,
        "kind": "mislabelled",
        "question": "Juventus or Newcastle?",
        "why": "Labelled Juventus, but going by all other photos it is Newcastle.",
        "score": 0.99,
        "label": "Juventus",
        "suggested": "Newcastle",
        "votes": [],
        "other": None,
        "picture": f"/api/review/{first}/picture",
        "width": 120,
        "height": 120,
    }
    assert (found["items"][1]["other"], found["items"][1]["suggested"]) == (twin, "Botafogo")


def test_a_disagreement_counts_who_says_what(place: Served, admin: httpx.Client) -> None:
    photo_id = labelled(place, 4)
    with place.house.database.begin() as session:
        photo = session.get_one(Photo, photo_id)
        other = labels.make(session, photo.classifier_id, "Botafogo")
        for name in ("ada", "bob"):
            voter = people.person(session, "web", name)
            corrections.vote(session, photo, voter, other, is_admin=False, votes_needed=0.5)

    (item,) = admin.get("/api/review").json()["items"]

    assert item["kind"] == "conflict"
    assert item["votes"] == [{"label": "Botafogo", "people": 2}, {"label": "Juventus", "people": 1}]
    assert "2 say Botafogo, 1 says Juventus" in item["why"]


def test_the_list_comes_in_pages(place: Served, admin: httpx.Client) -> None:
    made = [doubt(place, seed) for seed in range(11, 16)]

    pages = [admin.get("/api/review", params={"limit": 2, "offset": n}).json() for n in (0, 2, 4)]

    assert [page["left"] for page in pages] == [5, 5, 5]
    assert [item["photo"] for page in pages for item in page["items"]] == made
    for bad in ({"limit": 0}, {"limit": 101}, {"offset": -1}, {"offset": "x"}):
        assert admin.get("/api/review", params=bad).status_code == 422


def test_a_photo_is_kept_relabelled_or_removed_and_only_what_changed_is_learnt(
    place: Served, admin: httpx.Client
) -> None:
    kept, changed, out = doubt(place, 21), doubt(place, 22), doubt(place, 23)

    first = decide(admin, kept, "keep", "Juventus")
    before = list(place.house.rings)
    second = decide(admin, changed, "relabel", "newcastle")
    third = decide(admin, out, "remove")

    assert (first["changed"], first["said"], first["left"]) == (False, "Kept “Juventus”.", 2)
    assert (second["changed"], second["label"], second["left"]) == (True, "Newcastle", 1)
    assert (third["changed"], third["removed"], third["left"]) == (True, True, 0)
    assert [is_now(place, one) for one in (kept, changed, out)] == [
        ("Juventus", False),
        ("Newcastle", False),
        ("Juventus", True),
    ]
    assert (before, place.house.rings) == ([], [("train.learn", 1)] * 2)


def test_every_decision_is_listed_and_undone(place: Served, admin: httpx.Client) -> None:
    kept, changed, out = doubt(place, 31), doubt(place, 32), doubt(place, 33)
    acts = [
        decide(admin, kept, "keep")["act"],
        decide(admin, changed, "relabel", "Botafogo")["act"],
        decide(admin, out, "remove")["act"],
    ]

    listed = admin.get("/api/review").json()["decided"]
    undone = [admin.post("/api/review/undo", json={"act": act}).json() for act in acts]

    assert [(one["act"], one["decision"], one["mine"]) for one in listed] == [
        (acts[2], "remove", True),
        (acts[1], "relabel", True),
        (acts[0], "keep", True),
    ]
    assert (listed[1]["before"], listed[1]["label"]) == ("Juventus", "Botafogo")
    assert [one["item"]["photo"] for one in undone] == [kept, changed, out]
    assert [one["changed"] for one in undone] == [False, True, True]
    assert [is_now(place, one) for one in (kept, changed, out)] == [("Juventus", False)] * 3
    again = admin.get("/api/review").json()
    assert (again["left"], again["decided"]) == (3, [])


def test_a_new_label_is_made_only_when_that_is_said(place: Served, admin: httpx.Client) -> None:
    photo = doubt(place, 41)

    unknown = admin.post(f"/api/review/{photo}", json={"decision": "relabel", "label": "Wigan"})
    made = decide(admin, photo, "relabel", "Wigan", new=True)

    assert (unknown.status_code, "Wigan" in unknown.json()["error"]) == (404, True)
    assert "Juventus" in unknown.json()["labels"]
    assert made["label"] == "Wigan"


def test_of_two_admins_only_the_first_decides(place: Served, admin: httpx.Client) -> None:
    photo = doubt(place, 51)
    mine = decide(admin, photo, "relabel", "Newcastle")
    place.house.rings.clear()

    with place.admin() as other:
        late = [
            other.post(f"/api/review/{photo}", json={"decision": decision, "label": label})
            for decision, label in (("remove", None), ("keep", "Juventus"), ("relabel", "Botafogo"))
        ]
        undone = other.post("/api/review/undo", json={"act": mine["act"]})
        again = admin.post("/api/review/undo", json={"act": mine["act"]})

    assert [response.status_code for response in late] == [409] * 3
    assert {response.json()["error"] for response in late} == {"Somebody decided on that photo meanwhile."}
    assert (undone.status_code, again.status_code) == (200, 409)
    assert is_now(place, photo) == ("Juventus", False)
    assert place.house.rings == [("train.learn", 1)]


def test_admins_who_press_at_the_same_moment_make_one_decision(place: Served) -> None:
    photo = doubt(place, 52)
    with place.admin() as one, place.admin() as two, place.program() as three:
        with ThreadPoolExecutor(3) as pool:
            wishes = ((one, "Newcastle"), (two, "Botafogo"), (three, "Juventus"))
            asked = [
                pool.submit(client.post, f"/api/review/{photo}", json={"decision": "relabel", "label": label})
                for client, label in wishes
            ]
        found = sorted(one.result().status_code for one in asked)

    assert found == [200, 409, 409]
    with place.house.database.read() as session:
        assert len(session.scalars(select(Act)).all()) == 1


def test_the_same_decision_sent_twice_counts_once(place: Served, admin: httpx.Client) -> None:
    photo = doubt(place, 53)

    first, again = (decide(admin, photo, "relabel", "Newcastle") for _ in range(2))

    assert first["act"] == again["act"]
    assert (first["changed"], again["changed"]) == (True, False)


def test_what_was_seen_is_what_is_kept(place: Served, admin: httpx.Client) -> None:
    photo = doubt(place, 54)
    with place.house.database.begin() as session:
        found = session.get_one(Photo, photo)
        other = labels.make(session, found.classifier_id, "Botafogo")
        anna = people.person(session, "web", "anna")
        corrections.vote(session, found, anna, other, is_admin=True, votes_needed=0.5)

    response = admin.post(f"/api/review/{photo}", json={"decision": "keep", "label": "Juventus"})

    assert (response.status_code, response.json()["error"]) == (409, "That photo got another label meanwhile.")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/review"),
        ("GET", "/api/review/{photo}/picture"),
        ("POST", "/api/review/{photo}"),
        ("POST", "/api/review/undo"),
    ],
)
def test_only_admins_review(place: Served, method: str, path: str) -> None:
    photo = doubt(place, 61)
    body = {"decision": "remove", "act": 1}

    with place.guest() as stranger, place.member("Max") as member:
        refused = [
            client.request(method, path.format(photo=photo), json=body if method == "POST" else None)
            for client in (stranger, member)
        ]

    assert [response.status_code for response in refused] == [401, 403]
    assert all(response.json()["error"] for response in refused)
    assert is_now(place, photo) == ("Juventus", False)


@pytest.mark.parametrize("headers", [{}, {"X-Snaplabel": "1", "Sec-Fetch-Site": "cross-site"}, {"X-Snaplabel": "1"}])
def test_a_page_of_another_site_decides_nothing(place: Served, headers: dict[str, str]) -> None:
    photo = doubt(place, 62)
    with place.admin() as client:
        del client.headers["X-Snaplabel"]
        client.headers["Origin"] = "https://evil.example"

        response = client.post(f"/api/review/{photo}", json={"decision": "remove"}, headers=headers)

    assert (response.status_code, is_now(place, photo)) == (403, ("Juventus", False))


def test_a_program_reviews_with_the_token(place: Served) -> None:
    photo = doubt(place, 63)
    with place.program() as program:
        done = decide(program, photo, "relabel", "Newcastle")
        (listed,) = program.get("/api/review").json()["decided"]
        shown = program.get(f"/api/review/{photo}/picture")
        undone = program.post("/api/review/undo", json={"act": done["act"]})

    assert (listed["mine"], listed["by"], undone.status_code) == (True, "API", 200)
    assert (shown.headers["content-type"], Image.open(io.BytesIO(shown.content)).size) == ("image/jpeg", (120, 120))


def test_photos_and_acts_of_another_classifier_are_none_of_its_business(place: Served, admin: httpx.Client) -> None:
    theirs = labelled(place, 64, "tit", classifier="birds")
    with place.house.database.begin() as session:
        act = Act(classifier_id=session.get_one(Photo, theirs).classifier_id, verb="remove", photo_id=theirs, facts={})
        session.add(act)
        session.flush()
        act_id = act.id

    refused = [
        admin.get(f"/api/review/{theirs}/picture"),
        admin.post(f"/api/review/{theirs}", json={"decision": "remove"}),
        admin.post("/api/review/undo", json={"act": act_id}),
    ]

    assert [response.status_code for response in refused] == [404, 404, 404]
    assert is_now(place, theirs) == ("tit", False)


@pytest.mark.parametrize(
    ("photo", "body", "status"),
    [
        ("9" * 30, {"decision": "remove"}, 404),
        ("0", {"decision": "remove"}, 404),
        ("-1", {"decision": "remove"}, 404),
        ("x", {"decision": "remove"}, 422),
        ("{photo}", {"decision": "explode"}, 422),
        ("{photo}", {"decision": "relabel"}, 422),
        ("{photo}", {"decision": "relabel", "label": "!!", "new": True}, 422),
        ("{photo}", {"decision": "relabel", "label": "x" * 201}, 422),
        ("{photo}", {"decision": "relabel", "label": ["Newcastle"]}, 422),
        ("undo", {"act": "9" * 30}, 422),
        ("undo", {"act": 0}, 422),
        ("undo", {}, 422),
        ("undo", {"act": 77777}, 404),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    place: Served, admin: httpx.Client, photo: str, body: Json, status: int
) -> None:
    there = doubt(place, 65)

    response = admin.post(f"/api/review/{photo.format(photo=there)}", json=body)

    assert (response.status_code, bool(response.json()["error"])) == (status, True)
    assert is_now(place, there) == ("Juventus", False)


def test_a_photo_that_is_lost_has_no_picture_and_can_still_be_removed(place: Served, admin: httpx.Client) -> None:
    photo = labelled(place, 66)
    with place.house.database.begin() as session:
        found = session.get_one(Photo, photo)
        found.unreadable = "lost"
        place.house.store.delete(photo_key(found.sha256))

    (item,) = admin.get("/api/review").json()["items"]
    shown = admin.get(item["picture"])
    decide(admin, photo, "remove")

    assert (item["kind"], shown.status_code) == ("unreadable", 404)
    assert is_now(place, photo) == ("Juventus", True)


def test_the_review_in_the_chat_shows_the_photo_itself(place: Served, admin: httpx.Client) -> None:
    photo = doubt(place, 67)
    admin.post("/messages", json={"text": "/review"})

    def latest() -> Json | None:
        items = [one for one in admin.get("/feed").json()["items"] if one["kind"] == "answer"]
        found: Json | None = items[-1]["answer"] if items else None
        return found if found and found["reply"]["picture"] else None

    answer = eventually(latest)
    shown = admin.get(answer["reply"]["picture"])
    admin.post("/press", json={"answer": answer["id"], "data": button(answer, "It's “Newcastle”")})
    eventually(lambda: is_now(place, photo) == ("Newcastle", False))

    assert answer["reply"]["title"] == "Juventus or Newcastle?"
    assert (shown.headers["content-type"], Image.open(io.BytesIO(shown.content)).format) == ("image/jpeg", "JPEG")


def test_the_document_describes_the_review(place: Served) -> None:
    with place.guest() as anybody:
        document = anybody.get("/api/openapi.json").json()

    paths = {path: set(methods) for path, methods in document["paths"].items() if "review" in path}
    decided = document["paths"]["/api/review/{photo_id}"]["post"]
    assert paths == {"/api/review": {"get"}, "/api/review/undo": {"post"}, "/api/review/{photo_id}": {"post"}}
    assert set(decided["responses"]) == {"200", "401", "403", "404", "408", "409", "413", "422", "429", "503"}
    assert decided["security"] == [{"HTTPBearer": []}, {"APIKeyCookie": []}]
    assert set(document["components"]["schemas"]["Decision"]["properties"]) == {"decision", "label", "new"}
