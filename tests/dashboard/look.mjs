// Opens the live page in headless Chromium and says what it saw, as JSON:
//   node look.mjs URL DIRECTORY [name:password]
// Screenshots go into the directory: light.png, dark.png, phone.png.
import { chromium } from "playwright-core";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [url, directory, who] = process.argv.slice(2);
const seen = { errors: [], foreign: [], keys: [] };
const context = await chromium.launchPersistentContext(mkdtempSync(join(tmpdir(), "look-")), {
  executablePath: process.env.CHROMIUM || "/usr/bin/chromium",
  headless: true,
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync"],
  viewport: { width: 1280, height: 1000 },
  colorScheme: "light",
  ignoreHTTPSErrors: true,
  httpCredentials: who ? { username: who.split(":")[0], password: who.split(":")[1] } : undefined,
});
const page = context.pages()[0] || await context.newPage();

page.on("console", m => { if (["error", "warning"].includes(m.type())) seen.errors.push(m.text()); });
page.on("pageerror", e => seen.errors.push(String(e)));
page.on("request", r => { if (!r.url().startsWith(url) && !r.url().startsWith("data:")) seen.foreign.push(r.url()); });

const tile = title => page.locator("#tiles .card", { hasText: title }).locator(".value").innerText();
const wide = () => page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);

await page.goto(url);
// Two looks and some load: then rates, times and both charts have something to show.
const shows = () => page.waitForFunction(() => {
  const value = [...document.querySelectorAll("#tiles .card")].map(c => c.querySelector(".value").textContent);
  return value.length === 8 && value[0].endsWith("%") && value[1] !== "0" && value[2] !== "–" &&
    (document.querySelector("#rate-chart .hit-line") || { getAttribute: () => "" }).getAttribute("d").includes("L");
}, null, { timeout: 12000 });
await shows();
seen.state = await page.locator("#state").innerText();
seen.hitRate = await tile("Hit rate");
seen.statements = await tile("Statements / s");
seen.answer = await tile("Answered within");
seen.fresh = await tile("Freshness wait");
seen.pools = await page.locator("#pools tbody tr").count();
seen.pass = await page.locator("#pass tbody tr td:first-child").allInnerTexts();
seen.pins = await page.locator("#pins tbody tr td:first-child").allInnerTexts();
seen.top = await page.locator("#statements tbody tr td:first-child").allInnerTexts();
seen.feeds = await page.locator("#feeds").innerText();
seen.databases = await page.locator("#database option").allInnerTexts();
await page.screenshot({ path: join(directory, "light.png"), fullPage: true });

// By keyboard: the way through the page, and the two controls.
for (let i = 0; i < 7; i++) {
  await page.keyboard.press("Tab");
  seen.keys.push(await page.evaluate(() => document.activeElement.id ||
    document.activeElement.getAttribute("aria-label") || document.activeElement.className || document.activeElement.tagName));
}
await page.locator("#pause").focus();
await page.keyboard.press("Enter");
seen.paused = await page.locator("#state").innerText();
const before = await page.locator("#uptime").innerText();
await page.keyboard.press("Enter");
await page.waitForFunction(text => document.getElementById("state").textContent === "ready", before, { timeout: 5000 });
await page.locator("#database").selectOption({ index: 1 });
seen.poolsOfOne = await page.locator("#pools tbody tr").count();
await page.locator("#database").selectOption({ index: 0 });

await page.emulateMedia({ colorScheme: "dark" });
seen.dark = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
seen.wide = await wide();
await shows();
await page.evaluate(() => window.scrollTo(0, 0));
await page.screenshot({ path: join(directory, "dark.png"), fullPage: true });
await page.setViewportSize({ width: 390, height: 844 });
await page.waitForTimeout(0);
seen.widePhone = await wide();
await page.screenshot({ path: join(directory, "phone.png"), fullPage: true });
await context.close();
console.log(JSON.stringify(seen));
