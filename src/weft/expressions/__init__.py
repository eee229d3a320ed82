"""The one expression language of weft: conditions, data mapping and text templates.

    compile     text or a configuration tree, checked and classified when it is saved
    evaluate    what is simple, in this process, in microseconds
    guard       everything else, in confined child processes
    context     finding and cutting out fields; patterns for structured conditions
    preview     what an expression would give, for editors
    catalogue   the filters, tests and functions there are

The language is MiniJinja's, a dialect of Jinja: `input.amount > 1000 and input.customer.tier == 'gold'`,
`input.lines | map(attribute='price') | sum`, `Dear {{ input.name }}`. What weft changes:

* A missing field is none when it is all an expression asks for. Going on from it (`input.missing.field`), computing
  with it or printing it is an error that names it; `input.missing | default(0)` says what to use instead.
* `*` multiplies numbers and does not repeat text or lists.
* Fields win over methods: `input.items` is the field of that name or nothing.
* In text, none prints as nothing, true and false in lower case, objects and lists as JSON.
* Results are JSON. Whole numbers have 128 bits; a computed 3.0 comes out as 3.
* There is no clock: `now` is part of the data. There are no includes, imports and blocks.
"""
