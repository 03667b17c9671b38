-- The rows of `scale_filling.py`, section by section; words in braces are its numbers.
-- # ways
CREATE FUNCTION pg_temp.platform_of(c bigint) RETURNS integer IMMUTABLE LANGUAGE sql AS
  'SELECT CASE WHEN c = 1 THEN 0 WHEN c <= 3 THEN 2 ELSE (c % 2)::integer END';
CREATE FUNCTION pg_temp.name_of(platform integer) RETURNS text IMMUTABLE LANGUAGE sql AS
  'SELECT (ARRAY[''telegram'', ''discord'', ''web''])[platform + 1]';
CREATE FUNCTION pg_temp.classifier_of(c bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS
  'SELECT CASE WHEN c <= 3 OR c % 10 < 5 THEN 1 ELSE 2 + c % 9 END';
CREATE FUNCTION pg_temp.is_private(c bigint) RETURNS boolean IMMUTABLE LANGUAGE sql AS
  'SELECT c > 10 AND c % 10 >= 4';
-- How many people write in a chat.
CREATE FUNCTION pg_temp.members_of(c bigint) RETURNS bigint IMMUTABLE LANGUAGE sql AS
  'SELECT CASE WHEN pg_temp.is_private(c) THEN 1 ELSE greatest(5, {people} / (c + 1)) END';

-- # people, chats, labels
INSERT INTO classifier (id, name, created_at)
  SELECT k, CASE WHEN k = 1 THEN 'default' ELSE 'classifier ' || k END, now() - interval '366 days'
  FROM generate_series(1, {classifiers}) k;
INSERT INTO label (id, classifier_id, name, key, created_at, archived_at, merged_into_id)
  SELECT (k - 1) * {all_labels} + n + 1, k, 'label ' || k || ' ' || n, 'label' || k || n,
         now() - interval '366 days', CASE WHEN n >= {labels} THEN now() - interval '100 days' END,
         CASE WHEN n >= {labels} + 5 THEN (k - 1) * {all_labels} + n - {labels} END
  FROM generate_series(1, {classifiers}) k, generate_series(0, {all_labels} - 1) n;
INSERT INTO alias (classifier_id, label_id, name, key, created_at)
  SELECT classifier_id, id, 'other ' || name, 'other' || key, now() FROM label WHERE archived_at IS NULL AND id % 10 = 0;
INSERT INTO person (id, platform, platform_id, name, created_at)
  SELECT 1 + 3 * k + p, pg_temp.name_of(p), (1000000 + 3 * k + p)::text, 'Person ' || k, now() - interval '365 days'
  FROM generate_series(0, {people} - 1) k, generate_series(0, 2) p;
INSERT INTO chat (id, platform, platform_id, is_private, classifier_id, created_at, trusts_roles)
  SELECT c, pg_temp.name_of(pg_temp.platform_of(c)), CASE c WHEN 2 THEN 'room' WHEN 3 THEN 'api' ELSE (-1000000000000 - c)::text END,
         pg_temp.is_private(c), pg_temp.classifier_of(c), now() - interval '365 days', c % 3 = 0
  FROM generate_series(1, {chats}) c;

-- # posts
CREATE UNLOGGED TABLE post AS
WITH burst AS MATERIALIZED (
  SELECT b, 1 + floor({chats} * power(random(), 5))::bigint AS c, random() AS who, random() AS kind
  FROM generate_series(0::bigint, {photos} / 4 - 1) b
), placed AS MATERIALIZED (
  SELECT b, c, kind < 0.1 AS is_album, pg_temp.classifier_of(c) AS classifier,
         31 + 3 * ((c * 37 + floor(pg_temp.members_of(c) * power(who, 3))::bigint) % ({people} - 10)) + pg_temp.platform_of(c) AS person
  FROM burst
), drawn AS MATERIALIZED (
  SELECT 4 * b + i AS id, c AS chat, classifier, person, is_album, 4 * b + 1 AS leader, random() AS taught, random() AS which,
         random() AS plain, random() AS r1, random() AS r2, random() AS r3, random() AS r4, pg_temp.platform_of(c) AS on_platform
  FROM placed, generate_series(1, 4) i
)
SELECT id, chat, classifier, person, on_platform, is_album, leader, id > {photos} - {waiting} AS is_waiting,
       CASE WHEN taught < {labelled} AND id <= {photos} - {waiting}
            THEN (classifier - 1) * {all_labels} + 1 + floor({labels} * which * which)::bigint END AS label,
       CASE WHEN leader % 20 = 1 THEN 'exam' ELSE 'lesson' END AS split,
       CASE WHEN plain < 0.1 THEN (1 << floor(r1 * 12)::int) ELSE floor(r1 * 65536)::int END AS band0,
       CASE WHEN plain < 0.1 THEN (1 << floor(r2 * 12)::int) ELSE floor(r2 * 65536)::int END AS band1,
       CASE WHEN plain < 0.1 THEN (1 << floor(r3 * 12)::int) ELSE floor(r3 * 65536)::int END AS band2,
       CASE WHEN plain < 0.1 THEN (1 << floor(r4 * 12)::int) ELSE floor(r4 * 65536)::int END AS band3,
       CASE WHEN id > {photos} - {waiting} THEN now() - interval '5 seconds'
            ELSE now() - interval '1 minute' - interval '365 days' * (1 - id::float / {photos}) END AS at
FROM drawn;
CREATE INDEX ON post (id);
ANALYZE post;

-- # photos
INSERT INTO photo (id, classifier_id, sha256, phash, band0, band1, band2, band3, colours, width, height, group_id, split,
                   label_id, labelled_at, person_id, created_at)
SELECT id, classifier, md5(id::text) || md5((-id)::text),
       (CASE WHEN band3 >= 32768 THEN band3 - 65536 ELSE band3 END)::bigint * 281474976710656
         + band2::bigint * 4294967296 + band1::bigint * 65536 + band0,
       band0, band1, band2, band3, decode(repeat(md5(id::text), 3), 'hex'), 1280, 960, leader, split,
       label, CASE WHEN label IS NOT NULL THEN at + interval '3 minutes' END, person, at
FROM post ORDER BY post.id;

-- # answers
INSERT INTO answer (id, platform, chat_id, reply_to, album, content, revision, shown, state, platform_id, attempts,
                    not_before, created_at)
SELECT id, pg_temp.name_of(on_platform), chat, (2 * id)::text, CASE WHEN is_album THEN 'g' || leader END,
       json_build_object('title', 'label ' || classifier || ' 7, quite sure', 'text', '', 'table', '', 'choices',
         json_build_array(json_build_array(json_build_object('text', 'label 7', 'data', 'as:' || id || ':8', 'style', 'good')),
                          json_build_array(json_build_object('text', 'label 8', 'data', 'as:' || id || ':9', 'style', 'plain'),
                                           json_build_object('text', 'label 9', 'data', 'as:' || id || ':10', 'style', 'plain'))),
         'picture', NULL, 'progress', NULL, 'mood', 'sure'),
       1 + (label IS NOT NULL)::int, 1 + (label IS NOT NULL)::int, 'open', (2 * id + 1)::text, 0, at, at + interval '1 second'
FROM post WHERE NOT is_waiting AND (NOT is_album OR id = leader) ORDER BY post.id;
INSERT INTO answer (id, platform, chat_id, reply_to, content, revision, shown, state, platform_id, attempts, not_before, created_at)
SELECT {photos} + i, pg_temp.name_of(on_platform), chat, (2 * ({photos} + i))::text,
       json_build_object('title', 'What I have seen', 'text', 'Some photos.', 'table', '', 'choices', json_build_array(),
                         'picture', NULL, 'progress', NULL, 'mood', ''),
       1, 1, 'open', (2 * ({photos} + i) + 1)::text, 0, at, at
FROM generate_series(1, {talk}) i JOIN post ON post.id = 1 + (i * 7919::bigint) % ({photos} - {waiting}) WHERE i % 3 = 0
ORDER BY i;

-- # messages
INSERT INTO message (id, platform, chat_id, platform_id, position, album, person_id, state, attempts, photo_id, answer_id,
                     payload, received_at, queued_at, answered_at)
SELECT id, pg_temp.name_of(on_platform), chat,
       CASE WHEN is_album AND on_platform = 2 THEN 2 * leader ELSE 2 * id END::text,
       CASE WHEN is_album AND on_platform = 2 THEN id - leader ELSE 0 END,
       CASE WHEN is_album THEN 'g' || leader END, person, CASE WHEN is_waiting THEN 'waiting' ELSE 'answered' END,
       CASE WHEN is_waiting THEN 0 ELSE 1 END, id,
       CASE WHEN is_waiting THEN NULL WHEN is_album THEN leader ELSE id END, NULL, at,
       CASE WHEN is_waiting THEN at ELSE at + interval '1 second' END,
       CASE WHEN NOT is_waiting THEN at + interval '1 second' END
FROM post ORDER BY post.id;
INSERT INTO message (id, platform, chat_id, platform_id, position, person_id, state, attempts, failure, answer_id, received_at,
                     answered_at)
SELECT {photos} + i, pg_temp.name_of(on_platform), chat, (2 * ({photos} + i))::text, 0, person,
       CASE WHEN i % 51 = 0 THEN 'failed' ELSE 'answered' END, 0, CASE WHEN i % 51 = 0 THEN 'no-photo' END,
       CASE WHEN i % 3 = 0 THEN {photos} + i END, at, at
FROM generate_series(1, {talk}) i JOIN post ON post.id = 1 + (i * 7919::bigint) % ({photos} - {waiting}) ORDER BY i;

-- # corrections
INSERT INTO correction (photo_id, person_id, label_id, by_admin, created_at, changed_at)
SELECT id, CASE WHEN id % 10 < 3 THEN 1 + 3 * (id % 5) + on_platform ELSE person END, label, id % 10 < 3,
       at + interval '3 minutes', at + interval '3 minutes'
FROM post WHERE label IS NOT NULL ORDER BY post.id;
-- Somebody else votes on 40 of 100; on 2 of 100 they disagree, and of every second of these an admin has decided.
INSERT INTO correction (photo_id, person_id, label_id, by_admin, created_at, changed_at)
SELECT id, 31 + (person - 31 + 300) % (3 * {people} - 30),
       CASE WHEN id * 7919 % 25 < 2 THEN (classifier - 1) * {all_labels} + 1 + (label - 1 - (classifier - 1) * {all_labels} + 1) % {labels}
            ELSE label END,
       false, at + interval '4 minutes', at + interval '4 minutes'
FROM post WHERE label IS NOT NULL AND id * 31 % 10 < 4 ORDER BY post.id;
INSERT INTO correction (photo_id, person_id, label_id, by_admin, created_at, changed_at)
SELECT id, 16 + 3 * (id % 5) + on_platform, label, true, at + interval '1 hour', at + interval '1 hour'
FROM post WHERE label IS NOT NULL AND id * 31 % 10 < 4 AND id * 7919 % 25 < 2 AND id * 17 % 20 > 0 ORDER BY post.id;
-- Two people disagree, and nobody has decided.
INSERT INTO correction (photo_id, person_id, label_id, by_admin, created_at, changed_at)
SELECT id, CASE WHEN n = 1 THEN person ELSE 31 + (person - 31 + 300) % (3 * {people} - 30) END,
       (classifier - 1) * {all_labels} + n, false, at, at
FROM post, generate_series(1, 2) n WHERE label IS NULL AND NOT is_waiting AND id * 104729 % 10007 = 0;

-- # predictions
INSERT INTO prediction (photo_id, model_id, top, voice, created_at)
SELECT id, first + floor((versions - 32) * (id::float / {photos}))::bigint + j,
       ('[[' || lo + 1 + id % {labels} || ', 0.912345], [' || lo + 1 + (id + 7) % {labels} || ', 0.051234], ['
             || lo + 1 + (id + 13) % {labels} || ', 0.021234], [' || lo + 1 + (id + 22) % {labels} || ', 0.010123], ['
             || lo + 1 + (id + 31) % {labels} || ', 0.004321]]')::json,
       CASE WHEN id % 5 = 0 THEN 'maybe' ELSE 'sure' END, at + interval '1 second' * j
FROM (SELECT *, (classifier - 1) * {all_labels} AS lo,
             CASE WHEN classifier = 1 THEN 0 ELSE {v1} + (classifier - 2) * {v2} END AS first,
             CASE WHEN classifier = 1 THEN {v1} ELSE {v2} END AS versions FROM post) p,
     LATERAL generate_series(1, CASE WHEN is_waiting THEN 0 WHEN label IS NOT NULL THEN 31 ELSE 6 + (id % 10 < 3)::int END) j
ORDER BY p.id;

-- # lessons, suspects, acts
INSERT INTO training_photo (photo_id, first_version, label_id)
SELECT id, 1 + floor(CASE WHEN classifier = 1 THEN {v1} ELSE {v2} END * (id::float / {photos}))::int, label
FROM post WHERE label IS NOT NULL AND split = 'lesson' ORDER BY post.id;
INSERT INTO suspect (classifier_id, photo_id, kind, score, suggested_id, created_at)
SELECT classifier, id, 'mislabelled', random(), (classifier - 1) * {all_labels} + 1 + id % {labels}, now()
FROM (SELECT *, row_number() OVER (PARTITION BY classifier ORDER BY id DESC) AS place FROM post WHERE label IS NOT NULL) p
WHERE place <= {suspects};
INSERT INTO act (classifier_id, person_id, verb, photo_id, facts, created_at)
SELECT classifier, 1 + 3 * (id % 5) + on_platform, CASE WHEN id % 2 = 0 THEN 'keep' ELSE 'relabel' END, id,
       json_build_object('before_id', label, 'label_id', label), at + interval '2 hours'
FROM post WHERE label IS NOT NULL AND id % 10 < 1 ORDER BY id LIMIT {acts};
INSERT INTO act (classifier_id, person_id, verb, facts, created_at)
SELECT 1 + i % {classifiers}, 1 + i % 15, 'promote', json_build_object('version', i), now() - interval '1 hour' * i
FROM generate_series(1, 2000) i;
INSERT INTO alert (kind, facts, since, told_at, over_at)
SELECT 'late:telegram', '{{}}', now() - interval '1 day' * i, now() - interval '1 day' * i, now() - interval '1 day' * i
FROM generate_series(1, 300) i;
INSERT INTO alert (kind, facts, since) SELECT 'silent:' || s, '{{}}', now() FROM unnest(ARRAY['worker', 'trainer', 'scheduler']) s;
