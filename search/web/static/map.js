// The map: points on a canvas, and a line drawn round some of them. What is selected is counted by the server.
"use strict";
const canvas = document.getElementById("map");
const pen = canvas.getContext("2d");
const WORDS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c00", "#7a5195", "#888888"];
let points = new Float32Array(0);
let area = canvas.dataset.area ? canvas.dataset.area.split(",").map(Number) : [];
let drawing = false;

const toX = (x) => (x + 1.04) / 2.08 * canvas.width;
const toY = (y) => (1.04 - y) / 2.08 * canvas.height;

function colourOf(low, high) {
  if (Number(canvas.dataset.names)) return (v) => (v === v ? WORDS[v] : "#8888");
  return (v) => {
    if (v !== v) return "#8888";
    const t = Math.round(20 * Math.min(1, Math.max(0, (v - low) / (high - low || 1)))) / 20;
    return `hsl(${Math.round(215 - 200 * t)} ${Math.round(45 + 35 * t)}% ${Math.round(62 - 14 * t)}%)`;
  };
}

function draw() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  const values = points.filter((v, i) => i % 4 === 2 && v === v).sort();
  const colour = colourOf(values[Math.floor(values.length * 0.02)], values[Math.floor(values.length * 0.98)]);
  const some = points.some((v, i) => i % 4 === 3 && v > 0);
  const size = Math.max(2, Math.min(7, 260 / Math.sqrt(points.length / 4)));
  for (const lit of some ? [false, true] : [true]) {
    for (let i = 0; i < points.length; i += 4) {
      if (some && (points[i + 3] >= 0.5) !== lit) continue;
      pen.globalAlpha = lit ? 0.9 : 0.12;
      pen.fillStyle = colour(points[i + 2]);
      pen.fillRect(toX(points[i]) - size / 2, toY(points[i + 1]) - size / 2, size, size);
    }
  }
  pen.globalAlpha = 1;
  if (area.length < 4) return;
  pen.beginPath();
  for (let i = 0; i < area.length; i += 2) pen.lineTo(toX(area[i]), toY(area[i + 1]));
  if (!drawing) pen.closePath();
  pen.lineWidth = 2;
  pen.strokeStyle = getComputedStyle(canvas).color;
  pen.stroke();
}

function corner(event) {
  const box = canvas.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width * 2.08 - 1.04;
  const y = 1.04 - (event.clientY - box.top) / box.height * 2.08;
  area.push(Number(x.toFixed(3)), Number(y.toFixed(3)));
}

async function select() {
  if (area.length < 6) { area = []; return draw(); }
  const step = Math.ceil(area.length / 2 / 400);
  area = area.filter((_, i) => Math.floor(i / 2) % step === 0);
  const answer = await fetch(`${canvas.dataset.select}&area=${area.join(",")}`);
  document.getElementById("selection").innerHTML = await answer.text();
  history.replaceState(null, "", `${canvas.dataset.page}&area=${area.join(",")}`);
  draw();
}

canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); drawing = true; area = []; corner(event); });
canvas.addEventListener("pointermove", (event) => { if (drawing) { corner(event); draw(); } });
canvas.addEventListener("pointerup", () => { if (drawing) { drawing = false; select(); } });

fetch(canvas.dataset.points).then((answer) => answer.arrayBuffer()).then((data) => {
  points = new Float32Array(data);
  canvas.dataset.drawn = String(points.length / 4);
  draw();
});
