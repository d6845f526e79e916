// Where plotly.js comes from: Streamlit's own copy, else the app's.

/** The app's base address, taken from the script that runs this page: right behind a base path and on deep links. */
function appBase() {
  const names = performance.getEntriesByType("resource").map((entry) => entry.name);
  const script = names.find((name) => /\/static\/js\/index\.[^/]+\.js/.test(name));
  const tag = document.querySelector('script[src*="static/js/"]');
  return script || tag ? new URL("../../", script ?? tag.src) : new URL(".", document.baseURI);
}

function loadScript(address) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = address;
    script.onload = resolve;
    script.onerror = () => reject(new Error(`no script at ${address}`));
    document.head.append(script);
  });
}

async function findPlotly(sources) {
  for (const source of sources) {
    if (window.Plotly?.react) break;
    const address = new URL(source, appBase()).href;
    try {
      await (source.startsWith("static/js/") ? import(address) : loadScript(address));
    } catch (problem) {
      console.info("optviz: plotly.js is not at", address, problem.message);
    }
  }
  if (!window.Plotly?.react) throw new Error("the plotting library did not load");
  return window.Plotly;
}

function loadPlotly(sources) {
  library ??= findPlotly(sources).catch((problem) => {
    library = null; // the next script run may try again
    throw problem;
  });
  return library;
}
