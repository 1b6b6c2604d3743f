# core/conf: see the essays at the head of its headers.
