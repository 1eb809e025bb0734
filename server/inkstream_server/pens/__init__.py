"""Turns the events of a stream's pens into glyphs, and glyphs into replies.

Leaves drawing to `ink`, recognition to `batching`, and sending to `streams`.

    ink_session  all pens of one stream, each an open_pen with a due_timer; resources are what streams share
    pen          the state machine of one pen: strokes, by the rules of segmentation, become wanted answers
    settings     what a pen may choose, within limits; points checks its ink, faults reports what is wrong
    memory       counts what pens hold: strokes, boxes, and the final_strokes that a pen remembers
    glyph_reply  the reply to a glyph, once renderer has its reading; stability says if that lasts
"""
