// Talks to the server: asks, posts, uploads with progress, and listens. Every failure is a Sorry with a sentence.

export class Sorry extends Error {
  constructor(sentence, status = 0) {
    super(sentence);
    this.status = status;
  }
}

const OURS = { "X-Snaplabel": "1" }; // A page of another site can't send this header.
const OFFLINE = "I can't reach the server right now.";
const TRIES = 4;

// An id of our own for everything we post: trying again then never counts twice.
export function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function get(path) {
  const response = await fetch(path, { headers: OURS }).catch(() => { throw new Sorry(OFFLINE); });
  return understood(response.status, await response.text());
}

export async function post(path, body) {
  return patiently(async () => {
    const options = { method: "POST", headers: { ...OURS, "Content-Type": "application/json" }, body: JSON.stringify(body) };
    const response = await fetch(path, options).catch(() => { throw new Sorry(OFFLINE); });
    return understood(response.status, await response.text());
  });
}

export async function upload(form, onProgress) {
  return patiently(() => new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open("POST", "/photos");
    for (const [name, value] of Object.entries(OURS)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => failed(new Sorry(OFFLINE));
    request.onload = () => {
      try { done(understood(request.status, request.responseText)); } catch (sorry) { failed(sorry); }
    };
    request.send(form);
  }));
}

async function patiently(attempt) {
  for (let tries = 1; ; tries++) {
    try {
      return await attempt();
    } catch (sorry) {
      const worthIt = sorry.status === 0 || sorry.status === 503;
      if (!worthIt || tries === TRIES) throw sorry;
      await new Promise((go) => setTimeout(go, 700 * 2 ** tries));
    }
  }
}

function understood(status, text) {
  let found = {};
  try { found = JSON.parse(text); } catch { /* not ours: a proxy's page, perhaps */ }
  if (status >= 200 && status < 300) return found;
  throw new Sorry(found.error || "Something went wrong on the way. Please try again.", status);
}

// Calls heard[name](data) for each event, for as long as the page is open; onState says "open", "lost" or "refused".
export function listen(heard, onState) {
  let source;
  let again;
  function connect() {
    clearTimeout(again);
    source?.close();
    source = new EventSource("/events");
    source.onopen = () => onState("open");
    source.onerror = async () => {
      onState("lost");
      if (source.readyState !== EventSource.CLOSED) return; // The browser tries again by itself.
      try {
        await get("/me");
      } catch (sorry) {
        if (sorry.status === 401) return onState("refused");
      }
      clearTimeout(again);
      again = setTimeout(connect, 3000);
    };
    for (const [name, hear] of Object.entries(heard)) {
      source.addEventListener(name, (event) => hear(JSON.parse(event.data)));
    }
  }
  addEventListener("online", connect);
  addEventListener("pagehide", () => source?.close());
  addEventListener("pageshow", (event) => event.persisted && connect());
  connect();
}
