@echo off
rem Starts Hutong with runtime\node.exe, or with the node on the PATH.
setlocal
chcp 65001 >nul
set "HUTONG_NODE=%~dp0runtime\node.exe"
if exist "%HUTONG_NODE%" goto start
set "HUTONG_NODE=node.exe"
where /q node.exe && goto start
echo hutong: 找不到 Node.js：请将 node.exe（20.19 或更高版本）放入 runtime 文件夹 1>&2
echo hutong: no Node.js found: put node.exe, 20.19 or later, into the folder runtime 1>&2
exit /b 2
:start
"%HUTONG_NODE%" "%~dp0launcher.cjs" %*
exit /b %errorlevel%
