// Progress of work, as the server sends it; when it has ended, the page goes on by itself.
"use strict";
const bar = document.querySelector("progress[data-events]");
if (bar) {
  const events = new EventSource(bar.dataset.events);
  events.onmessage = (event) => {
    const news = JSON.parse(event.data);
    if (news.total) { bar.max = news.total; bar.value = news.done; }
    if (news.state === "working") return;
    events.close();
    location.replace(news.state === "done" ? `${bar.dataset.run}${news.run}` : location.href);
  };
}
