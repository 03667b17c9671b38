// Makes photos fit for the way: a phone's picture is scaled down here, and what only this browser can read is turned
// into a JPEG. Whatever fails here goes as it is, and the server says what it thinks of it.

const HEAVY = 2.5 * 1024 * 1024;
const SIDE = 2048; // pixels; the house stores less
const COMMON = ["image/jpeg", "image/png", "image/webp", "image/gif", "image/bmp", "image/avif"];

export async function shrink(file) {
  const isCommon = COMMON.includes(file.type);
  if ((isCommon && file.size < HEAVY) || file.type === "image/gif" || typeof createImageBitmap !== "function") return file;
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, SIDE / Math.max(bitmap.width, bitmap.height));
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    const paper = canvas.getContext("2d");
    paper.fillStyle = "#fff";
    paper.fillRect(0, 0, canvas.width, canvas.height);
    paper.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
    return blob && (blob.size < file.size || !isCommon) ? new File([blob], "photo.jpg", { type: "image/jpeg" }) : file;
  } catch {
    return file;
  }
}
