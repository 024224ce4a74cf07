// Draws the results that stand in #data. Text reaches the page as text alone (textContent), never as markup.
(function () {
'use strict';

const results = JSON.parse(document.getElementById('data').textContent);
const page = document.getElementById('page');
const QUANTILES = ['p50', 'p90', 'p95', 'p99', 'p99.9', 'p99.99', 'max'];
const compares = results.length > 1;
let charts = [];

// File names without their folders, where that tells them apart; and of each series the intervals that were
// measured from end to end, since the last, begun one would look like a breakdown.
const bare = results.map((r) => r.name.split('/').pop());
results.forEach((r, i) => {
    r.name = bare.indexOf(bare[i]) === bare.lastIndexOf(bare[i]) ? bare[i] : r.name;
    const ends = (r.measured_from_s + r.elapsed_s) / r.interval_s + 0.02;
    r.series = r.series.filter((p, n) => n === 0 || n + 1 <= ends);
});

// --- elements and numbers ---

function el(name, attributes, ...children) {
    const e = document.createElement(name);
    for (const [key, value] of Object.entries(attributes || {})) {
        if (key === 'color') e.style.background = value;
        else e.setAttribute(key, value);
    }
    for (const c of children) e.append(c);
    return e;
}

const color = (i) => getComputedStyle(document.documentElement).getPropertyValue(typeof i === 'number' ? `--c${i % 6}` : i).trim();
const whole = (v) => Math.round(v).toLocaleString('en-US');

function short(v) {
    const steps = [[1e9, 'G'], [1e6, 'M'], [1e3, 'k']];
    for (const [size, unit] of steps) if (Math.abs(v) >= size) return +(v / size).toPrecision(3) + unit;
    return String(+v.toPrecision(3));
}

const ms = (us) => {
    const v = us / 1000;
    return v >= 1000 ? whole(v) : v >= 100 ? v.toFixed(1) : v >= 10 ? v.toFixed(2) : v.toFixed(3);
};
const dot = (i) => el('span', {class: 'dot', color: color(i)});
const kindOf = (r, kind) => r.kinds.find((k) => k.kind === kind);
const wholeOf = (r) => r.kinds[r.kinds.length - 1];
const allKinds = () => [...new Set(results.flatMap((r) => r.kinds.map((k) => k.kind)))];

// --- text ---

function loopOf(r) {
    const parts = [r.rate > 0 ? `open loop, ${whole(r.rate)}/s intended, at most ${whole(r.in_flight)} in flight`
                              : `closed loop, ${whole(r.in_flight)} in flight`];
    if (r.skew !== 'uniform') parts.push(r.skew);
    if (r.processes > 1) parts.push(`${r.processes} load processes`);
    return parts.join(', ');
}

function header() {
    const r = results[0];
    const title = compares ? `${results.length} results compared` : r.mix;
    const when = new Date(r.began_ms).toISOString().replace('T', ' ').slice(0, 19) + ' UTC';
    document.title = `oneid-load: ${title}`;
    return el('header', {}, el('p', {class: 'faint'}, 'oneid-load'), el('h1', {}, title),
              el('p', {class: 'faint'}, compares ? 'Latencies in milliseconds' : `${loopOf(r)} · ${when}`));
}

function fact(value, name) {
    return el('div', {class: 'fact'}, el('b', {}, value), el('span', {class: 'faint'}, name));
}

function facts() {
    const r = results[0], all = wholeOf(r);
    return el('div', {class: 'facts'}, fact(whole(all.per_s), 'requests/s'), fact(ms(all.p50), 'p50, ms'), fact(ms(all.p99), 'p99, ms'),
              fact(ms(all.max), 'max, ms'), fact(whole(all.errors), 'errors'),
              fact(r.elapsed_s.toFixed(1), 'seconds measured'));
}

function warnings() {
    const box = el('div', {role: 'status'});
    for (const r of results)
        for (const w of r.warnings) box.append(el('p', {class: 'warning'}, (compares ? `${r.name}: ` : '') + w));
    return box;
}

function row(name, k, mark) {
    const errors = el('td', k.errors ? {class: 'bad'} : {}, whole(k.errors));
    const cells = QUANTILES.map((q) => el('td', {}, ms(k[q])));
    return el('tr', {}, el('td', {class: 'left', title: name}, ...(mark ? [mark] : []), name), el('td', {class: 'left'}, k.kind),
              el('td', {}, whole(k.requests)), el('td', {}, whole(k.per_s)), el('td', {}, ms(k.avg)), ...cells, errors);
}

function table() {
    const heads = [['result', 'left'], ['kind', 'left'], ['requests', ''], ['per second', ''], ['avg ms', ''],
                   ...QUANTILES.map((q) => [q + ' ms', '']), ['errors', '']];
    const body = el('tbody');
    results.forEach((r, i) => r.kinds.forEach((k) => body.append(row(r.name, k, compares ? dot(i) : null))));
    const head = el('tr', {}, ...heads.map(([text, side]) => el('th', side ? {class: side} : {}, text)));
    return el('section', {}, el('h2', {}, 'Latency and throughput'), el('div', {class: 'scroll'}, el('table', {}, el('thead', {}, head), body)));
}

function codesOf(k) {
    const codes = Object.entries(k.codes).map(([name, n]) => `${name} ${whole(n)}`);
    return codes.length ? codes.join(', ') : 'none';
}

function machineOf(m) {
    return [m.cpu, m.cores ? `${m.cores} cores` : '', m.memory_bytes ? `${(m.memory_bytes / 2 ** 30).toFixed(1)} GiB` : '', m.os, m.kernel]
        .filter(Boolean).join(' · ');
}

function about(r) {
    const all = wholeOf(r), cost = all.requests ? (r.cpu_s * 1e6 / all.requests).toFixed(2) : '0';
    const rows = [['Mix', r.mix], ['Load', loopOf(r)], ['Began', new Date(r.began_ms).toISOString()],
                  ['Machine of the load', machineOf(r.machine)],
                  ['Cost of the load', `${r.cpu_s.toFixed(2)} CPU s, ${cost} µs a request; busiest thread ${(r.busiest * 100).toFixed(0)} % of a core`],
                  ['Errors', codesOf(all)],
                  ['Answers said', `duplicate ${whole(all.duplicates)}, partial ${whole(all.partial)}, with refused links ${whole(all.refused)}`]];
    if (r.rate > 0) rows.push(['Behind', `at most ${ms(r.behind_us)} ms after a request was due`]);
    const list = el('dl');
    for (const [name, value] of rows) list.append(el('dt', {}, name), el('dd', {}, value));
    return el('section', {}, el('h2', {}, compares ? r.name : 'How it was measured'), r.line ? el('pre', {}, r.line) : '', list);
}

// --- charts ---

function axes(xText, yText, more) {
    const base = {stroke: color('--faint'), grid: {stroke: color('--grid'), width: 1}, ticks: {stroke: color('--grid'), width: 1},
                  font: '12px system-ui, sans-serif', labelFont: '12px system-ui, sans-serif', labelSize: 22};
    return [{...base, label: xText, size: 34, ...(more && more.x)}, {...base, label: yText, size: 62, ...(more && more.y)}];
}

// Shades the warm-up of the longest one.
function shadeWarmup(u) {
    const until = Math.max(...results.map((r) => r.measured_from_s));
    if (until <= 0) return;
    const left = u.valToPos(0, 'x', true), right = Math.min(u.valToPos(until, 'x', true), u.bbox.left + u.bbox.width);
    u.ctx.save();
    u.ctx.fillStyle = color('--shade');
    u.ctx.fillRect(left, u.bbox.top, Math.max(0, right - left), u.bbox.height);
    u.ctx.restore();
}

const lineOf = (label, stroke, format, more) => ({label, stroke, width: 1.75, spanGaps: false, points: {show: false},
                                                  value: (u, v) => (v == null ? '–' : format(v)), ...more});
const inMs = (v) => `${ms(v * 1000)} ms`;

function draw(box, options, data) {
    const few = data[0].length < 3;
    for (const s of options.series.slice(1)) if (few) s.points = {show: true, size: 6};
    const width = () => Math.max(260, box.clientWidth);
    const u = new uPlot({width: width(), height: 270, ...options}, data, box);
    const watch = new ResizeObserver(() => u.setSize({width: width(), height: 270}));
    watch.observe(box);
    charts.push(() => { watch.disconnect(); u.destroy(); });
}

const timeCursor = {sync: {key: 'time'}, drag: {x: true, y: false}};
// Decades alone carry a number; the lines between them none.
const logSplits = (u, splits) => splits.map((v) => (v > 0 && Math.abs(Math.log10(v) - Math.round(Math.log10(v))) < 1e-6 ? short(v) : ''));
const logScale = {distr: 3, range: (u, min, max) => min == null || max == null || min <= 0 ? [1, 10]
                                          : [10 ** Math.floor(Math.log10(min)), 10 ** Math.ceil(Math.log10(Math.max(max, min * 1.001)))]};

function overTime(box, lines, yText, format, scale) {
    const tables = lines.map((l) => [l.r.series.map((p, i) => i * l.r.interval_s), l.r.series.map(l.value)]);
    const data = uPlot.join(tables);
    const series = [{label: 'time', value: (u, v) => (v == null ? '–' : `${+v.toFixed(2)} s`)}];
    for (const l of lines) series.push(lineOf(l.label, l.stroke, format, {spanGaps: compares, ...l.more}));
    draw(box, {scales: {x: {time: false}, y: scale || {range: (u, min, max) => [0, (max || 1) * 1.08]}},
               axes: axes('seconds since the start', yText, {y: {values: scale ? logSplits : (u, s) => s.map(short)}}),
               cursor: timeCursor, hooks: {drawClear: [shadeWarmup]}, series}, data);
}

function throughput(box, kind) {
    const per = (r, name, field) => (p) => (p[name] ? p[name][field] / r.interval_s : 0);
    const lines = [];
    results.forEach((r, i) => {
        const names = compares || kind !== 'all' ? [kind] : r.kinds.map((k) => k.kind);
        names.forEach((name, j) => lines.push({r, label: compares ? r.name : name, stroke: color(compares ? i : j), value: per(r, name, 0)}));
        if (r.series.some((p) => p[kind] && p[kind][1]))
            lines.push({r, label: compares ? `${r.name}, errors` : 'errors', stroke: color('--bad'), value: per(r, kind, 1), more: {dash: [4, 4]}});
    });
    if (!compares && kind === 'all' && results[0].rate > 0)
        lines.push({r: results[0], label: 'intended', stroke: color('--faint'), value: () => results[0].rate, more: {dash: [2, 4]}});
    overTime(box, lines, 'requests/s', (v) => `${whole(v)}/s`);
}

function latency(box, kind) {
    const at = (column) => (p) => (p[kind] && p[kind][0] ? Math.max(p[kind][column], 1) / 1000 : null);
    const columns = compares ? [['p50', 2, {}], ['p99', 4, {dash: [6, 4]}]] : [['p50', 2, {}], ['p95', 3, {}], ['p99', 4, {}], ['max', 5, {dash: [4, 4]}]];
    const lines = [];
    results.forEach((r, i) => columns.forEach(([name, column, more], j) =>
        lines.push({r, label: compares ? `${r.name} ${name}` : name, stroke: color(compares ? i : j), value: at(column), more})));
    overTime(box, lines, 'latency, ms (log)', inMs, logScale);
}

// x is 1 / (1 - share), so that each further nine takes as much room.
function percentileLabel(x) {
    if (x == null) return '';
    if (x <= 1) return '0 %';
    const digits = Math.max(0, Math.round(Math.log10(x)) - 2);
    return `${(100 - 100 / x).toFixed(digits)} %`;
}

function curve(box, kind) {
    const tables = [], series = [{label: 'percentile', value: (u, v) => (v == null ? '–' : percentileLabel(v))}];
    const add = (k, label, i) => {
        if (!k || !k.curve.length) return;
        tables.push([k.curve.filter((v, n) => n % 2 === 0), k.curve.filter((v, n) => n % 2).map((v) => Math.max(v, 1) / 1000)]);
        series.push(lineOf(label, color(i), inMs, {spanGaps: true, paths: uPlot.paths.stepped({align: -1})}));
    };
    if (compares) results.forEach((r, i) => add(kindOf(r, kind), r.name, i));
    else if (kind === 'all') results[0].kinds.forEach((k, i) => add(k, k.kind, i));
    else add(kindOf(results[0], kind), kind, 0);
    if (!tables.length) return box.append(el('p', {class: 'faint'}, 'No answers.'));
    const far = Math.max(10, ...tables.map((t) => t[0][t[0].length - 1]));
    const splits = [];
    for (let x = 1; x <= far; x *= 10) splits.push(x);
    draw(box, {scales: {x: {time: false, distr: 3, range: [1, far]}, y: logScale},
               axes: axes('percentile', 'latency, ms (log)', {x: {splits: () => splits, values: (u, s) => s.map(percentileLabel)}, y: {values: logSplits}}),
               cursor: {drag: {x: true, y: false}}, series}, uPlot.join(tables));
}

function loadItself(box) {
    const lines = [];
    const open = results.some((r) => r.rate > 0);
    results.forEach((r, i) => {
        const of = compares ? `${r.name}: ` : '';
        if (open) lines.push({r, label: `${of}sent late`, stroke: color(compares ? i : 1), value: (p) => p.behind / 1000});
        else lines.push({r, label: `${of}cores used`, stroke: color(i), value: (p) => p.cpu / r.interval_s});
    });
    overTime(box, lines, open ? 'ms' : 'cores', (v) => (open ? inMs(v) : v.toFixed(2)));
}

const CHARTS = [['Throughput', 'Requests answered, by interval', throughput],
                ['Latency over time', compares ? 'p50 solid, p99 dashed' : 'Percentiles of each interval', latency],
                ['Latency by percentile', 'Share of requests that took at most so long', curve],
                ['The load itself', results.some((r) => r.rate > 0) ? 'The longest time a request was sent after it was due' : 'CPU of the load processes', loadItself]];

function drawAll(place, kind) {
    charts.forEach((close) => close());
    charts = [];
    place.replaceChildren();
    for (const [title, note, chart] of CHARTS) {
        const box = el('div');
        place.append(el('section', {}, el('h2', {}, title), el('p', {class: 'faint'}, note), box));
        chart(box, kind);
    }
}

function chooser(place) {
    const kinds = allKinds().sort((a, b) => (b === 'all') - (a === 'all'));
    const box = el('div', {class: 'choice', role: 'group', 'aria-label': 'kind of request'}, el('span', {class: 'faint'}, 'Charts of'));
    const choose = (kind) => {
        for (const b of box.querySelectorAll('button')) b.setAttribute('aria-pressed', String(b.textContent === kind));
        drawAll(place, kind);
    };
    for (const kind of kinds) {
        const button = el('button', {type: 'button'}, kind);
        button.addEventListener('click', () => choose(kind));
        box.append(button);
    }
    box.redraw = () => choose((box.querySelector('[aria-pressed="true"]') || {textContent: kinds[0]}).textContent);
    return box;
}

const place = el('div', {class: 'charts'});
const choice = chooser(place);
page.append(header(), ...(compares ? [] : [facts()]), warnings(), table(), choice, place, ...results.map(about));
choice.redraw();
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => choice.redraw());
})();
