// The editor of a template: CodeMirror over the textarea, which keeps the value that is posted.
"use strict";

(() => {
  const form = document.getElementById("editor");
  const area = document.getElementById("f-body");
  const macros = JSON.parse(form.dataset.macros);
  const {
    minimalSetup, EditorView, lineNumbers, highlightActiveLine, highlightActiveLineGutter, MatchDecorator,
    Decoration, ViewPlugin, keymap, EditorState, html, HighlightStyle, syntaxHighlighting, bracketMatching,
    tags, autocompletion, completionKeymap, setDiagnostics, lintGutter,
  } = CodeMirror;

  // Colours come from the page's style sheet, so that light and dark follow it.
  const colours = HighlightStyle.define([
    { tag: [tags.tagName, tags.angleBracket], color: "var(--aw-code-tag)" },
    { tag: [tags.attributeName, tags.keyword, tags.propertyName], color: "var(--aw-code-name)" },
    { tag: [tags.attributeValue, tags.string], color: "var(--aw-code-value)" },
    { tag: [tags.comment, tags.documentMeta], color: "var(--aw-code-quiet)" },
  ]);

  const fold = (name) => name.normalize("NFC").toLowerCase().replace(/&nbsp;|[\s\u00a0]+/g, " ").trim();
  const known = new Map(macros.flatMap((macro) => macro.spellings.map((each) => [fold(each), macro])));
  const decorator = new MatchDecorator({
    regexp: /\{[?/^]?([^{}<>\n]{1,80})\}|<([^{}<>\n/!="]{1,80})>|&lt;([^{}<>\n&]{1,80})&gt;/g,
    decoration: (match) => {
      const macro = known.get(fold(match[1] || match[2] || match[3]));
      return macro ? Decoration.mark({ class: "cm-macro", attributes: { title: macro.meaning } }) : null;
    },
  });
  const marks = ViewPlugin.fromClass(class {
    constructor(view) { this.decorations = decorator.createDeco(view); }
    update(update) { this.decorations = decorator.updateDeco(update, this.decorations); }
  }, { decorations: (plugin) => plugin.decorations });

  function complete(context) {
    const typed = context.matchBefore(/\{[\p{L}\d _]*/u);
    if (!typed) return null;
    const options = macros.map((macro) => ({ label: `{${macro.name}}`, detail: macro.meaning }));
    return { from: typed.from, options, validFor: /^\{[\p{L}\d _]*$/u };
  }

  const view = new EditorView({
    parent: area.parentElement,
    state: EditorState.create({
      doc: area.value,
      extensions: [
        EditorView.cspNonce.of(document.querySelector("meta[name=editor-nonce]").content),
        minimalSetup, lineNumbers(), highlightActiveLine(), highlightActiveLineGutter(), bracketMatching(),
        html({ autoCloseTags: false, matchClosingTags: false }), syntaxHighlighting(colours), marks,
        lintGutter(), EditorView.lineWrapping, keymap.of(completionKeymap),
        autocompletion({ override: [complete] }),
        EditorState.readOnly.of(area.readOnly),
        EditorView.contentAttributes.of({
          tabindex: "0", "aria-labelledby": area.dataset.label, "aria-describedby": "h-body", spellcheck: "true", lang: area.lang,
        }),
        EditorView.updateListener.of((update) => {
          if (!update.docChanged) return;
          area.value = update.state.doc.toString();
          area.dispatchEvent(new Event("input", { bubbles: true }));
        }),
      ],
    }),
  });
  view.dom.after(document.getElementById("h-body"));
  area.hidden = true;

  // What the check says stands at its lines.
  function mark() {
    const found = [...document.querySelectorAll("#check li[data-place=body]")].filter((each) => each.dataset.line > 0);
    view.dispatch(setDiagnostics(view.state, found.map((each) => {
      const line = view.state.doc.line(Math.min(each.dataset.line, view.state.doc.lines));
      return { from: line.from, to: line.to, severity: "warning", message: each.querySelector(".words").textContent };
    })));
  }
  mark();
  document.body.addEventListener("htmx:afterSettle", mark);

  // A macro goes where somebody was writing: into the text, or the subject.
  const subject = document.getElementById("f-subject");
  let writesSubject = false;
  subject.addEventListener("focus", () => { writesSubject = true; });
  view.contentDOM.addEventListener("focus", () => { writesSubject = false; });
  document.addEventListener("click", (event) => {
    const insert = event.target.closest("[data-insert]");
    if (insert && !area.readOnly) {
      if (writesSubject) {
        subject.setRangeText(insert.dataset.insert, subject.selectionStart, subject.selectionEnd, "end");
        subject.dispatchEvent(new Event("input", { bubbles: true }));
        subject.focus();
      } else {
        view.dispatch(view.state.replaceSelection(insert.dataset.insert));
        view.focus();
      }
    }
    const go = event.target.closest("[data-go]");
    if (go) {
      const line = view.state.doc.line(Math.min(go.dataset.go, view.state.doc.lines));
      view.dispatch({ selection: { anchor: line.from }, effects: EditorView.scrollIntoView(line.from, { y: "center" }) });
      view.focus();
    }
  });
})();
