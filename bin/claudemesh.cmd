@echo off
"%~dp0holdfast.cmd" claudemesh %*
