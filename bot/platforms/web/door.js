// The door: the key of a link, or one that is typed in, goes to the server in a post; then the page opens.

const KEYS = [
  () => decoded(location.hash.slice(1)),
  // Links of earlier versions had it where servers and proxies could log it.
  () => new URLSearchParams(location.search).get("token"),
  () => decoded(location.pathname.match(/^\/join\/([^/]+)/)?.[1] ?? ""),
];

const form = document.getElementById("key");
const said = document.getElementById("said");

async function knock(key) {
  said.textContent = "";
  try {
    const headers = { "X-Snaplabel": "1", "Content-Type": "application/json" };
    const response = await fetch("/door", { method: "POST", headers, body: JSON.stringify({ key }) });
    if (response.ok) return location.replace("/");
    said.textContent = (await response.json()).error;
  } catch {
    said.textContent = "I can't reach the server right now. Please try again.";
  }
}

function decoded(key) {
  try { return decodeURIComponent(key); } catch { return key; }
}

function fromLink() {
  const key = KEYS.map((find) => find()).find(Boolean);
  if (!key) return;
  // It leaves the address bar and the history before anything else happens.
  history.replaceState(null, "", "/door");
  knock(key);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  knock(form.elements.key.value.trim());
});
addEventListener("hashchange", fromLink);
fromLink();
